//! Whatever TLS's own hello says: it is brought into each shape or refused, and what comes of it is a hello that is read as it was written, that gives
//! itself when it is shaped again, and that is the same, cut before its binders, where the hello itself was cut there.
#![no_main]

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use hotpool::fingerprint::{
    Binders, ClientHello, Draws, Extension, HelloSpec, KeyShare, PreSharedKey, Profile, PskIdentity,
    ServerName, Slot, kind,
};
use libfuzzer_sys::fuzz_target;

/// The browsers', and Firefox's with padding and without its tickets.
static SPECS: LazyLock<Vec<HelloSpec>> = LazyLock::new(|| {
    let hello = |profile: Profile| profile.hello().expect("a browser").clone();
    let firefox = hello(Profile::firefox_esr(153).expect("known"));
    let mut slots = firefox.slots().to_vec();
    slots.retain(|slot| !matches!(slot, Slot::EchGrease(_) | Slot::Native(kind::SESSION_TICKET)));
    for slot in &mut slots {
        if let Slot::KeyShares(shares) = slot {
            shares.remove(0);
        }
    }
    slots.insert(2, Slot::Padding);
    let padded = HelloSpec::new(firefox.cipher_suites().to_vec(), slots).expect("a spec");
    vec![hello(Profile::chromium(156).expect("known")), firefox, padded]
});

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});

fn run(bytes: &mut Unstructured<'_>) -> Result<()> {
    let spec = bytes.choose(&SPECS)?;
    let draws = any_draws(spec, bytes)?;
    let native = any_native(bytes)?;
    let Some(first) = check(&native, |native| spec.shape(native, &draws)) else {
        return Ok(());
    };
    let again = any_native(bytes)?;
    let second = check(&again, |native| spec.shape_again(native, &draws, &first));
    if let Some(second) = second {
        let ech = |hello: &ClientHello| hello.extension(kind::ENCRYPTED_CLIENT_HELLO).cloned();
        assert_eq!(ech(&first), ech(&second));
    }
    Ok(())
}

/// What comes of `native`, if it can be written.
fn check<E>(
    native: &ClientHello,
    shape: impl Fn(&ClientHello) -> std::result::Result<ClientHello, E>,
) -> Option<ClientHello> {
    let shaped = shape(native).ok()?;
    let message = shaped.to_message().ok()?;
    let read = ClientHello::from_message(&message).expect("what is written can be read");
    assert_eq!((&read, read.to_message().as_ref()), (&shaped, Ok(&message)));
    let Ok(twice) = shape(&shaped) else {
        panic!("what was shaped has all that a shape needs");
    };
    assert_eq!(twice, shaped);
    let Some(Extension::PreSharedKey(PreSharedKey {
        binders: Binders::Present(binders),
        ..
    })) = native.extensions().last()
    else {
        return Some(shaped);
    };
    let missing = 2 + binders.iter().map(|binder| 1 + binder.len()).sum::<usize>();
    let Ok(whole) = native.to_message() else {
        return Some(shaped); // it had more than what came of it
    };
    let cut = ClientHello::from_truncated_message(&whole[..whole.len() - missing]).expect("cut there");
    let Ok(of_cut) = shape(&cut) else {
        panic!("the one is shaped, and the other not");
    };
    let of_cut = of_cut
        .to_message()
        .expect("the one is written, and the other not");
    assert_eq!(of_cut, message[..message.len() - missing]);
    Some(shaped)
}

fn any_draws(spec: &HelloSpec, bytes: &mut Unstructured<'_>) -> Result<Draws> {
    let key = bytes.arbitrary();
    let draws = spec.draw(|| key, |buffer| bytes.fill_buffer(buffer))?;
    Ok(match bytes.ratio(1u8, 8u8)? {
        true => draws,
        false => draws.with_share(share(0x0017, bytes)?),
    })
}

fn share(group: u16, bytes: &mut Unstructured<'_>) -> Result<KeyShare> {
    let len = match group {
        0x11ec => 1216,
        0x001d => 32,
        0x0017 => 65,
        _ => 97,
    };
    // One byte stands for all: what it holds is nothing to the shape. Now and then one that is too short.
    let len = if bytes.ratio(1u8, 32u8)? { len - 1 } else { len };
    Ok(KeyShare {
        group,
        exchange: vec![bytes.arbitrary()?; len],
    })
}

fn some(bytes: &mut Unstructured<'_>, most: usize) -> Result<Vec<u8>> {
    let len = bytes.int_in_range(0..=most)?;
    Ok(vec![bytes.arbitrary()?; len])
}

fn any_native(bytes: &mut Unstructured<'_>) -> Result<ClientHello> {
    let mut extensions = vec![Extension::ExtendedMasterSecret];
    if bytes.ratio(7u8, 8u8)? {
        let name = some(bytes, 300)?;
        extensions.push(Extension::ServerName(vec![ServerName { kind: 0, name }]));
    }
    if bytes.arbitrary()? {
        extensions.push(Extension::SessionTicket(some(bytes, 400)?));
    }
    if bytes.arbitrary()? {
        extensions.push(Extension::Cookie(some(bytes, 70_000)?));
    }
    let all: [&[u8]; 4] = [b"h2", b"http/1.1", b"other", b""];
    let mut protocols = Vec::new();
    for _ in 0..bytes.int_in_range(0..=4)? {
        protocols.push(bytes.choose(&all)?.to_vec());
    }
    extensions.push(Extension::Alpn(protocols));
    let groups: &[&[u16]] = &[
        &[0x11ec, 0x001d],
        &[0x001d, 0x0017],
        &[0x0017],
        &[0x0018],
        &[0x001d],
        &[],
    ];
    let mut shares = Vec::new();
    for group in *bytes.choose(groups)? {
        shares.push(share(*group, bytes)?);
    }
    extensions.push(Extension::KeyShare(shares));
    if bytes.ratio(1u8, 32u8)? {
        extensions.push(Extension::EarlyData);
    }
    if bytes.arbitrary()? {
        let mut identities = Vec::new();
        let mut binders = Vec::new();
        for _ in 0..bytes.int_in_range(0..=3)? {
            identities.push(PskIdentity {
                identity: some(bytes, 40_000)?,
                obfuscated_ticket_age: bytes.arbitrary()?,
            });
            binders.push(some(bytes, 255)?);
        }
        extensions.push(Extension::PreSharedKey(PreSharedKey {
            identities,
            binders: Binders::Present(binders),
        }));
    }
    Ok(ClientHello {
        legacy_version: 0x0303,
        random: bytes.arbitrary()?,
        session_id: some(bytes, 33)?,
        cipher_suites: vec![0x1301, 0x00ff],
        compression_methods: vec![0],
        extensions: Some(extensions),
    })
}
