//! What the operating system says of this process.

/// Open descriptors, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    pub(crate) open: u64,
    pub(crate) limit: u64,
}

impl Descriptors {
    /// None where the system does not tell, or sets no limit. Takes a system call for each some hundred descriptors.
    #[cfg(unix)]
    pub(crate) fn now() -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
        let listed = ["/proc/self/fd", "/dev/fd"];
        let mut lists = listed.iter().filter_map(|list| std::fs::read_dir(list).ok());
        let open = u64::try_from(lists.next()?.count()).ok()?.saturating_sub(1); // but for the one that lists them
        Some(Descriptors { open, limit })
    }

    #[cfg(not(unix))]
    pub(crate) fn now() -> Option<Self> {
        None
    }

    /// Whether more than four fifths are in use.
    pub(crate) const fn are_short(self) -> bool {
        self.open as u128 * 5 > self.limit as u128 * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_opened_is_counted() {
        let before = Descriptors::now().expect("Linux tells");
        let files: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/dev/null").expect("a file"))
            .collect();
        let with = Descriptors::now().expect("Linux tells");
        // Other tests open and close some meanwhile.
        assert!(with.open >= before.open + 30, "{before:?}, then {with:?}");
        assert_eq!(with.limit, before.limit);
        drop(files);
    }

    #[test]
    fn four_fifths_are_not_short_and_one_more_is() {
        let of_ten = |open| Descriptors { open, limit: 10 }.are_short();
        assert_eq!([of_ten(8), of_ten(9)], [false, true]);
        let endless = Descriptors {
            open: u64::MAX,
            limit: u64::MAX,
        };
        assert!(endless.are_short());
    }
}
