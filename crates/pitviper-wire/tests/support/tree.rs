//! Messages as trees, which are changed where they mean something and written again with all lengths right, so
//! that what is wrong with them is found deep in a decoder and not at its door.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A message, in whichever form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Number(u64),
    Float(f64),
    /// True, false or nothing.
    Word(Option<bool>),
    Text(Vec<u8>),
    List(Vec<Tree>),
    /// Names and values; in protobuf the names are keys with their wire types.
    Map(Vec<(Tree, Tree)>),
}

/// What is done to one place of a tree.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Remove,
    Repeat(usize),
    Become(Tree),
    /// Become a copy of another place.
    Graft(Index),
    /// Become the innermost of so many lists or maps.
    Bury(usize),
}

/// Changes of a tree, each with its place.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(Index, Change)>> {
    let extreme = select(vec![0, 1, 2, 127, 128, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 63, (1 << 63) - 1, u64::MAX]);
    let float = select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 1e300]);
    let text = prop_oneof![
        vec(any::<u8>(), 0..20),
        "[a-z0-9:;,=%#|@{}\\[\\]\"\\\\-]{0,30}".prop_map(String::into_bytes),
        (0..3_000_usize).prop_map(|length| vec![b'a'; length]),
    ];
    let other = prop_oneof![
        extreme.prop_map(Tree::Number),
        any::<u64>().prop_map(Tree::Number),
        float.prop_map(Tree::Float),
        any::<Option<bool>>().prop_map(Tree::Word),
        text.prop_map(Tree::Text),
        Just(Tree::List(Vec::new())),
        Just(Tree::Map(Vec::new())),
    ];
    let change = prop_oneof![
        Just(Change::Remove),
        (1..40_usize).prop_map(Change::Repeat),
        other.prop_map(Change::Become),
        any::<Index>().prop_map(Change::Graft),
        (1..200_usize).prop_map(Change::Bury),
    ];
    vec((any::<Index>(), change), 1..6)
}

impl Tree {
    /// Most places of a tree that is still changed: repeats of repeats grow fast.
    const MAX_PLACES: usize = 5_000;

    /// Itself and all that is below it.
    fn places(&self) -> usize {
        1 + (0..).map_while(|at| self.child(at)).map(Self::places).sum::<usize>()
    }

    /// What is directly below it; of a map names and values in turn.
    fn child(&self, at: usize) -> Option<&Self> {
        match self {
            Self::List(items) => items.get(at),
            Self::Map(pairs) => pairs.get(at / 2).map(|(name, value)| if at.is_multiple_of(2) { name } else { value }),
            _ => None,
        }
    }

    fn child_mut(&mut self, at: usize) -> Option<&mut Self> {
        match self {
            Self::List(items) => items.get_mut(at),
            Self::Map(pairs) => {
                pairs.get_mut(at / 2).map(|(name, value)| if at.is_multiple_of(2) { name } else { value })
            }
            _ => None,
        }
    }

    /// The way to a place: which child of which child.
    fn way(&self, mut place: usize) -> Vec<usize> {
        let (mut way, mut node) = (Vec::new(), self);
        while place > 0 {
            place -= 1;
            for at in 0.. {
                let Some(child) = node.child(at) else { return way };
                let places = child.places();
                if place < places {
                    way.push(at);
                    node = child;
                    break;
                }
                place -= places;
            }
        }
        way
    }

    fn at(&self, place: usize) -> Self {
        self.way(place).into_iter().try_fold(self, Self::child).unwrap_or(self).clone()
    }

    /// The tree with these changes.
    pub(crate) fn changed(mut self, changes: &[(Index, Change)]) -> Self {
        for (place, change) in changes {
            let places = self.places();
            if places > Self::MAX_PLACES {
                break;
            }
            let change = match change {
                Change::Graft(from) => Change::Become(self.at(from.index(places))),
                change => change.clone(),
            };
            let way = self.way(place.index(places));
            self.change(&way, &change);
        }
        self
    }

    fn change(&mut self, way: &[usize], change: &Change) {
        match (way, change) {
            ([], Change::Become(other)) => *self = other.clone(),
            ([], Change::Bury(depth)) => {
                for level in 0..*depth {
                    let inner = std::mem::replace(self, Self::Word(None));
                    *self = match level % 2 {
                        0 => Self::List(vec![inner]),
                        _ => Self::Map(vec![(Self::Text(b"a".to_vec()), inner)]),
                    };
                }
            }
            // The whole is no part of anything.
            ([], Change::Remove | Change::Repeat(_) | Change::Graft(_)) => {}
            ([at], Change::Remove | Change::Repeat(_)) => {
                let times = if let Change::Repeat(times) = change { 1 + times } else { 0 };
                match self {
                    Self::List(items) => drop(items.splice(*at..=*at, vec![items[*at].clone(); times])),
                    Self::Map(pairs) => {
                        let at = at / 2;
                        drop(pairs.splice(at..=at, vec![pairs[at].clone(); times]));
                    }
                    _ => {}
                }
            }
            ([at, rest @ ..], _) => {
                if let Some(child) = self.child_mut(*at) {
                    child.change(rest, change);
                }
            }
        }
    }
}
