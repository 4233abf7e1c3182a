//! Intervals against a plain set of numbers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::interval::{Interval, Intervals};

fn build(numbers: &BTreeSet<u64>) -> Intervals {
    Intervals::from_unsorted(numbers.iter().rev().map(|n| Interval { start: *n, end: n + 1 }).collect())
}

fn numbers_of(intervals: &Intervals) -> BTreeSet<u64> {
    intervals.iter().flat_map(|i| i.start..i.end).collect()
}

fn small_set() -> impl Strategy<Value = BTreeSet<u64>> {
    prop::collection::btree_set(1..40_u64, 0..30)
}

proptest! {
    #[test]
    fn operations_agree_with_plain_sets(a in small_set(), b in small_set(), limit in 0..42_u64) {
        let (x, y) = (build(&a), build(&b));
        prop_assert_eq!(numbers_of(&x), a.clone());
        // Built from the model again: the results must also be coalesced, or equal sets would differ.
        prop_assert_eq!(x.union(&y), build(&(&a | &b)));
        prop_assert_eq!(x.intersect(&y), build(&(&a & &b)));
        prop_assert_eq!(x.subtract(&y), build(&(&a - &b)));
        prop_assert_eq!(x.contains(&y), a.is_superset(&b));
        prop_assert_eq!(x.count(), a.len() as u64);
        prop_assert_eq!(x.last(), a.last().copied());
        prop_assert_eq!(x.last_up_to(limit), a.range(..=limit).next_back().copied());
        prop_assert!(x.union(&y).contains(&x));
    }

    #[test]
    fn overlapping_input_is_coalesced(list in prop::collection::vec((1..40_u64, 0..8_u64), 0..12)) {
        let model: BTreeSet<u64> = list.iter().flat_map(|(start, len)| *start..start + len).collect();
        let list = list.iter().map(|(start, len)| Interval { start: *start, end: start + len }).collect();
        prop_assert_eq!(Intervals::from_unsorted(list), build(&model));
    }
}
