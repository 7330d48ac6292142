//! A recorder that keeps what it was told last, until somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hotpool::HotConnPool;
use hotpool::metrics::{Metrics, MetricsOptions};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use parking_lot::Mutex;

/// The attributes of a series.
pub(crate) type Attributes = BTreeMap<String, String>;

/// What was recorded of one series: a sum, what was set last, or each value.
#[derive(Debug)]
struct Series(Mutex<Vec<f64>>);

impl CounterFn for Series {
    fn increment(&self, by: u64) {
        self.0.lock()[0] += by as f64;
    }

    fn absolute(&self, _: u64) {
        panic!("what a pool forgets goes back: nothing is absolute");
    }
}

impl GaugeFn for Series {
    fn increment(&self, by: f64) {
        self.0.lock()[0] += by;
    }

    fn decrement(&self, by: f64) {
        self.0.lock()[0] -= by;
    }

    fn set(&self, value: f64) {
        self.0.lock()[0] = value;
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.0.lock().push(value);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Default)]
struct Pages {
    described: BTreeMap<String, Kind>,
    series: BTreeMap<(String, Attributes), Arc<Series>>,
}

/// Everything that a pool's metrics said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet(Arc<Mutex<Pages>>);

impl Sheet {
    /// Has a pool recorded here.
    pub(crate) fn watch(options: MetricsOptions, pool: &HotConnPool) -> (Metrics, Sheet) {
        let sheet = Sheet::default();
        (options.watch_with(pool, sheet.clone()), sheet)
    }

    fn describe(&self, kind: Kind, key: KeyName, text: &str) {
        assert!(!text.is_empty(), "{key:?}");
        let known = self.0.lock().described.insert(key.as_str().to_owned(), kind);
        assert!(known.is_none_or(|known| known == kind), "{key:?} is of one kind");
    }

    fn series(&self, kind: Kind, key: &Key) -> Arc<Series> {
        let mut pages = self.0.lock();
        let name = key.name().to_owned();
        assert_eq!(pages.described.get(&name), Some(&kind), "{key:?}");
        let labels = key.labels();
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
        let begins = match kind {
            Kind::Histogram => Vec::new(),
            _ => vec![0.0],
        };
        let series = pages.series.entry((name, labels.collect()));
        Arc::clone(series.or_insert_with(|| Arc::new(Series(Mutex::new(begins)))))
    }

    /// Every value of every series of this name that has these attributes.
    pub(crate) fn values(&self, name: &str, with: &[(&str, &str)]) -> Vec<f64> {
        let pages = self.0.lock();
        let of = pages.series.iter().filter(|((known, labels), _)| {
            let has = |&(key, value): &(&str, &str)| labels.get(key).is_some_and(|known| known == value);
            known == name && with.iter().all(has)
        });
        of.flat_map(|(_, series)| series.0.lock().clone()).collect()
    }

    /// The sum of these.
    pub(crate) fn sum(&self, name: &str, with: &[(&str, &str)]) -> f64 {
        self.values(name, with).iter().sum()
    }

    /// The names of what was recorded.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let pages = self.0.lock();
        pages.series.keys().map(|(name, _)| name.clone()).collect()
    }

    /// Which values an attribute of this metric has.
    pub(crate) fn attributes(&self, name: &str, attribute: &str) -> BTreeSet<String> {
        let pages = self.0.lock();
        let of = pages.series.keys().filter(|(known, _)| known == name);
        of.filter_map(|(_, labels)| labels.get(attribute).cloned())
            .collect()
    }
}

impl Recorder for Sheet {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, text: SharedString) {
        self.describe(Kind::Counter, key, &text);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, text: SharedString) {
        self.describe(Kind::Gauge, key, &text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        assert_eq!(unit, Some(Unit::Seconds), "{key:?}");
        self.describe(Kind::Histogram, key, &text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(Kind::Counter, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(Kind::Gauge, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(Kind::Histogram, key))
    }
}
