//! Rounds in which everybody runs once, in an order that turns, so that what the machine does meanwhile meets all alike.

use crate::contender::Runner;
use crate::meter::Sample;

/// Somebody who runs.
pub(crate) struct Entrant {
    name: String,
    cycles: u64,
    runner: Box<dyn Runner>,
    samples: Vec<Sample>,
}

impl Entrant {
    pub(crate) fn new(name: impl Into<String>, cycles: u64, runner: impl Runner + 'static) -> Self {
        Entrant {
            name: name.into(),
            cycles,
            runner: Box::new(runner),
            samples: Vec::new(),
        }
    }
}

/// What became of an entrant, over all rounds. Times in nanoseconds for each cycle.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The median of the CPU time, and its least and its most.
    pub(crate) cpu: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// The median of the time.
    pub(crate) wall: f64,
    /// The most allocations.
    pub(crate) allocations: f64,
    /// The median of the ratio of CPU times, and of times, to the reference of the same round.
    pub(crate) cpu_ratio: f64,
    pub(crate) wall_ratio: f64,
}

/// Runs them all in each round, and `after` each round that. The ratios are those to the entrant called `reference`.
pub(crate) fn race(
    mut entrants: Vec<Entrant>,
    rounds: usize,
    reference: &str,
    mut after: impl FnMut(),
) -> Vec<Row> {
    for entrant in &entrants {
        entrant.runner.run(entrant.cycles / 10 + 1);
    }
    let count = entrants.len();
    for round in 0..rounds {
        for place in 0..count {
            let entrant = &mut entrants[(round + place) % count];
            let sample = entrant.runner.run(entrant.cycles);
            entrant.samples.push(sample);
        }
        after();
    }
    entrants.iter().for_each(|entrant| entrant.runner.vouch());
    let reference = entrants.iter().find(|entrant| entrant.name == reference);
    let reference = reference.expect("the reference runs, too").samples.clone();
    entrants
        .iter()
        .map(|entrant| Row::new(entrant, &reference))
        .collect()
}

impl Row {
    fn new(entrant: &Entrant, reference: &[Sample]) -> Self {
        let samples = &entrant.samples;
        let each = |what: fn(&Sample) -> f64| samples.iter().map(what).collect::<Vec<_>>();
        let ratio = |what: fn(&Sample) -> f64| {
            let pairs = samples.iter().zip(reference);
            median(pairs.map(|(one, other)| what(one) / what(other)).collect())
        };
        let cpu = each(|sample| sample.cpu);
        Row {
            name: entrant.name.clone(),
            least: cpu.iter().copied().fold(f64::INFINITY, f64::min),
            most: cpu.iter().copied().fold(0.0, f64::max),
            cpu: median(cpu),
            wall: median(each(|sample| sample.wall)),
            allocations: each(|sample| sample.allocations).into_iter().fold(0.0, f64::max),
            cpu_ratio: ratio(|sample| sample.cpu),
            wall_ratio: ratio(|sample| sample.wall),
        }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
