//! The hot path allocates nothing per request: once its buffers have grown to the load, a turn of thousands of requests
//! allocates no more than a turn of one.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../benches/turns/mod.rs"]
mod turns;

use std::path::Path;

use turns::{Scenario, Turns};

/// Turns until buffers have their size.
const WARM_UP: usize = 4;
/// Turns that are counted.
const COUNTED: u64 = 4;

/// Allocations of this thread in a turn, as a mean.
fn allocations(scenario: Scenario, connections: usize, depth: u64) -> u64 {
    allocations_of(Turns::run, scenario, connections, depth)
}

fn allocations_of(run: fn(&mut Turns, &[Vec<u8>]) -> usize, scenario: Scenario, connections: usize, depth: u64) -> u64 {
    let mut turns = Turns::new(Path::new(env!("CARGO_TARGET_TMPDIR")), scenario, 1_000, connections, depth);
    for _ in 0..WARM_UP {
        let input = turns.prepare();
        assert_eq!(turns.run_and_check(&input), turns.requests());
    }
    let inputs: Vec<_> = (0..COUNTED).map(|_| turns.prepare()).collect();
    let counted = allocation_counter::measure(|| {
        for input in &inputs {
            assert!(run(&mut turns, input) > 0);
        }
    });
    println!("{scenario:?} {connections} x {depth}: {} allocations in {COUNTED} turns", counted.count_total);
    counted.count_total / COUNTED
}

#[test]
fn the_counter_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
}

#[test]
fn no_request_allocates() {
    for scenario in [Scenario::Deposits, Scenario::Transfers, Scenario::Duplicates, Scenario::Balances] {
        for (connections, depth) in [(1, 1), (64, 1), (16, 256)] {
            assert_eq!(allocations(scenario, connections, depth), 0, "{scenario:?} {connections} x {depth}");
        }
    }
    for (connections, frames) in [(1, 1), (16, 8)] {
        assert_eq!(allocations(Scenario::Runs, connections, frames * turns::RUN), 0, "{connections} x {frames} frames");
    }
}

/// A connection that holds half a frame takes memory for that, and frees it: an idle one has none.
#[test]
fn a_read_that_ends_within_a_frame_costs_its_connection_two() {
    for (connections, depth) in [(1, 2), (16, 256)] {
        let counted = allocations_of(Turns::run_in_two_reads, Scenario::Deposits, connections, depth);
        assert!((1..=2 * connections).contains(&usize::try_from(counted).unwrap()), "{connections} x {depth}: {counted}");
    }
}
