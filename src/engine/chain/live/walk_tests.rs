//! Walks through chains that grow, part, shrink and begin anew, over nodes that lag: what a reader is given, less what is
//! taken back, is always the chain.

use proptest::prelude::*;

use super::*;

/// The chain as its nodes see it. Block 0 never changes.
#[derive(Debug, Clone)]
struct Chain {
    blocks: Vec<Header>,
    made: u64,
}

impl Chain {
    fn new(length: u64) -> Self {
        Self::from(0, length)
    }

    /// One whose hashes are others.
    fn from(made: u64, length: u64) -> Self {
        let mut chain = Self { blocks: Vec::new(), made };
        chain.mine(length);
        chain
    }

    fn mine(&mut self, count: u64) {
        for _ in 0..count {
            let parent = self.blocks.last().map_or_else(|| "none".into(), |last| last.point.hash.clone());
            let point = Point { number: self.blocks.len() as u64, hash: self.made.to_string().into() };
            self.made += 1;
            self.blocks.push(Header { point, parent, text: Bytes::new() });
        }
    }

    /// The last `depth` blocks are replaced by `length` others.
    fn part(&mut self, depth: usize, length: u64) {
        self.blocks.truncate(self.blocks.len().saturating_sub(depth).max(1));
        self.mine(length);
    }

    fn tip(&self) -> &Point {
        &self.blocks.last().unwrap().point
    }

    /// What a node says that lacks the newest `lag` blocks.
    fn answer(&self, blocks: Blocks, lag: usize) -> Vec<Option<Header>> {
        let has = self.blocks.len().saturating_sub(lag);
        (blocks.first()..=blocks.last())
            .map(|number| self.blocks[..has].get(usize::try_from(number).unwrap()).cloned())
            .collect()
    }
}

/// What the reader has, after all that was taken back.
#[derive(Debug, Default)]
struct Reader(Vec<Point>);

impl Reader {
    fn give(&mut self, header: &Header) {
        if let Some(last) = self.0.last() {
            assert!(header.follows(last), "{header:?} after {last:?}");
        }
        self.0.push(header.point.clone());
    }

    fn take_back(&mut self, dropped: &[Passed]) {
        for passed in dropped {
            assert_eq!(self.0.pop().as_ref(), Some(&passed.point), "not what was given last");
            assert_eq!(passed.given, Some(Bytes::from(passed.point.hash.to_string())));
        }
    }
}

/// One look, or one block; whether there was anything to do.
fn step(
    walk: &mut Walk,
    reader: &mut Reader,
    tip: &Point,
    answer: impl Fn(Blocks) -> Vec<Option<Header>>,
) -> bool {
    if let Some(header) = walk.ahead().front().cloned() {
        reader.give(&header);
        walk.pass(header.point.hash.to_string().into());
        return true;
    }
    let Some(blocks) = walk.look(tip) else { return false };
    assert!(blocks.count() <= STRIDE.max(DEPTH as u64), "{blocks}");
    if let Found::Parted { dropped, is_deeper } = walk.found(answer(blocks)) {
        reader.take_back(&dropped);
        // Only below where the reader has begun.
        assert!(!is_deeper || reader.0.is_empty());
    }
    true
}

#[derive(Debug, Clone)]
enum Event {
    Mine(u64),
    Part(usize, u64),
    /// The reader does so much, with nodes that lag so far.
    Read(usize, usize),
    /// Nodes of the branch before the last parting answer.
    Stale(usize),
    /// One half of each answer is of that branch, the other of the chain.
    Mixed(usize),
    /// A look is given up.
    Cancel,
    Doubt,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1..40_u64).prop_map(Event::Mine),
        2 => (1..20_usize, 0..30_u64).prop_map(|(depth, more)| Event::Part(depth, 1 + more)),
        1 => (2..20_usize).prop_map(|depth| Event::Part(depth, (depth as u64).saturating_sub(3).max(1))),
        5 => (1..60_usize, 0..3_usize).prop_map(|(steps, lag)| Event::Read(steps, lag)),
        1 => (1..5_usize).prop_map(Event::Stale),
        1 => (1..5_usize).prop_map(Event::Mixed),
        1 => Just(Event::Cancel),
        1 => Just(Event::Doubt),
    ]
}

proptest! {
    #[test]
    fn what_is_given_less_what_is_taken_back_is_the_chain(
        start in 1..30_u64,
        events in prop::collection::vec(event(), 1..20),
    ) {
        let mut chain = Chain::new(start + 1);
        let (mut walk, mut reader) = (Walk::after(chain.tip().clone()), Reader::default());
        let mut before = chain.clone();
        for event in events {
            match event {
                Event::Mine(count) => chain.mine(count),
                Event::Part(depth, length) => {
                    before = chain.clone();
                    chain.part(depth, length);
                }
                Event::Read(steps, lag) => for _ in 0..steps {
                    step(&mut walk, &mut reader, chain.tip(), |blocks| chain.answer(blocks, lag));
                },
                Event::Stale(steps) => for _ in 0..steps {
                    step(&mut walk, &mut reader, chain.tip(), |blocks| before.answer(blocks, 0));
                },
                Event::Mixed(steps) => for _ in 0..steps {
                    step(&mut walk, &mut reader, chain.tip(), |blocks| {
                        let mut answer = before.answer(blocks, 0);
                        let half = answer.len() / 2;
                        answer.splice(half.., chain.answer(blocks, 0).into_iter().skip(half));
                        answer
                    });
                },
                Event::Cancel => if walk.ahead().is_empty() {
                    walk.look(chain.tip());
                },
                Event::Doubt => walk.doubt(),
            }
        }
        let mut steps = 0;
        while step(&mut walk, &mut reader, chain.tip(), |blocks| chain.answer(blocks, 0)) {
            steps += 1;
            prop_assert!(steps < 10_000, "no end: {walk:?}");
        }
        let has: Vec<_> = reader.0.iter().filter(|point| point.number > start).collect();
        let should: Vec<_> = chain.blocks.iter().map(|block| &block.point).filter(|point| point.number > start).collect();
        prop_assert_eq!(has, should);
    }
}

/// A reader who is at the tip of `chain`, which began with one block.
fn at_tip(chain: &Chain) -> (Walk, Reader) {
    let (mut walk, mut reader) = (Walk::after(chain.blocks[0].point.clone()), Reader::default());
    while step(&mut walk, &mut reader, chain.tip(), |blocks| chain.answer(blocks, 0)) {}
    assert_eq!(reader.0.last(), Some(chain.tip()));
    (walk, reader)
}

#[test]
fn a_node_that_lags_is_asked_again_and_takes_nothing_back() {
    let mut chain = Chain::new(50);
    let (mut walk, _) = at_tip(&chain);
    assert_eq!(walk.look(&chain.blocks[45].point), None);
    chain.mine(1);
    let blocks = walk.look(chain.tip()).unwrap();
    assert_eq!(walk.found(chain.answer(blocks, 1)), Found::Nothing);
    // A tip of another branch that nobody else knows.
    let stranger = Point { number: 48, hash: "?".into() };
    let blocks = walk.look(&stranger).unwrap();
    assert_eq!((blocks, walk.found(chain.answer(blocks, 1))), (Blocks::new(48, 49).unwrap(), Found::Nothing));
}

#[test]
fn the_last_block_that_has_a_number_is_looked_at_again_like_any_other() {
    let point = |hash: &str| Point { number: u64::MAX, hash: hash.into() };
    let mut walk = Walk::after(point("0xa"));
    assert_eq!(walk.look(&point("0xa")), None);
    assert_eq!(walk.look(&point("0xb")), Blocks::new(u64::MAX, u64::MAX));
    let other = Header { point: point("0xb"), parent: "0x9".into(), text: Bytes::new() };
    assert!(matches!(walk.found([Some(other.clone())]), Found::Parted { .. }));
    assert_eq!(walk.ahead(), &[other]);
    walk.pass(Bytes::new());
    assert_eq!(walk.look(&point("0xb")), None);
}

#[test]
fn a_parting_beyond_what_is_remembered_is_told() {
    let mut chain = Chain::new(400);
    let (mut walk, mut reader) = at_tip(&chain);
    chain.part(200, 200);
    let found = loop {
        let blocks = walk.look(chain.tip()).unwrap();
        match walk.found(chain.answer(blocks, 0)) {
            Found::More => {}
            found => break found,
        }
    };
    let Found::Parted { dropped, is_deeper } = found else { unreachable!("{found:?}") };
    assert_eq!((dropped.len(), is_deeper), (DEPTH, true));
    reader.take_back(&dropped);
    reader.0.clear();
    while step(&mut walk, &mut reader, chain.tip(), |blocks| chain.answer(blocks, 0)) {}
    assert_eq!((reader.0.len(), reader.0.last()), (DEPTH, Some(chain.tip())));
}

/// What a reader at the tip of `chain` takes back when `other` has taken its place, and is given then.
fn exchanged(chain: &Chain, other: &Chain) -> (usize, bool, Vec<u64>) {
    let (mut walk, mut reader) = at_tip(chain);
    let look = |_| {
        let blocks = walk.look(other.tip()).unwrap();
        let Found::Parted { dropped, is_deeper } = walk.found(other.answer(blocks, 0)) else { return None };
        Some((dropped.len(), is_deeper))
    };
    let parted = (0..100).find_map(look).unwrap();
    reader.0.clear();
    while step(&mut walk, &mut reader, other.tip(), |blocks| other.answer(blocks, 0)) {}
    (parted.0, parted.1, reader.0.iter().map(|point| point.number).collect())
}

#[test]
fn a_chain_with_another_first_block_is_read_from_its_second_one_on() {
    let chain = Chain::new(5);
    assert_eq!(exchanged(&chain, &Chain::from(1000, 8)), (4, false, (1..8).collect()));
    assert_eq!(exchanged(&chain, &Chain::from(1000, 1)), (4, false, vec![]));
}

#[test]
fn a_chain_that_is_shorter_than_what_is_remembered_is_read_from_its_newest_block_on() {
    assert_eq!(exchanged(&Chain::new(400), &Chain::from(1000, 6)), (DEPTH, true, vec![5]));
}

#[test]
fn a_node_that_lags_behind_all_that_is_remembered_takes_nothing_back() {
    let (chain, behind) = (Chain::new(400), Chain::new(6));
    let mut walk = Walk::after(chain.tip().clone());
    for _ in 0..100 {
        // Others answer between.
        for lacking in [&behind, &behind, &chain] {
            let blocks = walk.look(behind.tip()).unwrap();
            assert_eq!((blocks, walk.found(lacking.answer(blocks, 0))), (Blocks::one(399), Found::Nothing));
        }
    }
    for _ in 0..GONE - 1 {
        let blocks = walk.look(behind.tip()).unwrap();
        assert_eq!(walk.found(behind.answer(blocks, 0)), Found::Nothing);
    }
    assert_eq!(walk.look(chain.tip()), None);
    let blocks = walk.look(behind.tip()).unwrap();
    assert_eq!((blocks, walk.found(behind.answer(blocks, 0))), (Blocks::one(399), Found::Nothing));
}

#[test]
fn what_is_remembered_is_bounded_in_blocks_and_bytes() {
    let chain = Chain::new(1000);
    let (mut walk, _) = at_tip(&chain);
    assert_eq!(walk.passed.len(), DEPTH);
    let mut longer = chain.clone();
    longer.mine(STRIDE);
    let blocks = walk.look(longer.tip()).unwrap();
    walk.found(longer.answer(blocks, 0));
    let large = Bytes::from(vec![b'x'; BYTES / 4]);
    while !walk.ahead().is_empty() {
        walk.pass(large.clone());
        assert!(walk.bytes <= BYTES);
        assert_eq!(walk.bytes, walk.passed.iter().map(Passed::size).sum::<usize>());
    }
    assert_eq!(walk.passed.len(), 4);
}
