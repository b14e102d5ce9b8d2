//! Which registers live across which wait, found on the finished control flow of a function. It knows
//! registers as variables that are used and defined, and nothing of what instructions mean: so it
//! holds for every instruction, also for those that are yet to come.

use std::collections::BTreeSet;

use cranelift_codegen::entity::{EntityRef as _, SecondaryMap};
use cranelift_codegen::flowgraph::ControlFlowGraph;
use cranelift_codegen::ir::{Block, Function, Type, Value};
use cranelift_frontend::Variable;

/// What happens to a register, in the order of a block.
#[derive(Clone, Copy, Debug)]
enum Event {
    Use(Variable),
    Define(Variable),
    /// The thread may wait here; the number is that of the wait.
    Wait(usize),
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, Default)]
struct Definition {
    /// How many places of the text define it.
    count: u32,
    /// What the last of them defines.
    value: Option<Value>,
    /// The type of a register that is read.
    ty: Option<Type>,
}

/// All that happens to registers, written down while a function is lowered.
#[derive(Default)]
pub(super) struct Log {
    blocks: SecondaryMap<Block, Vec<Event>>,
    definitions: SecondaryMap<Variable, Definition>,
    waits: usize,
}

impl Log {
    /// A register is read.
    pub(super) fn used(&mut self, block: Block, variable: Variable, ty: Type) {
        self.blocks[block].push(Event::Use(variable));
        self.definitions[variable].ty = Some(ty);
    }

    /// A register is written.
    pub(super) fn defined(&mut self, block: Block, variable: Variable, value: Value) {
        self.blocks[block].push(Event::Define(variable));
        let known = &mut self.definitions[variable];
        known.count += 1;
        known.value = Some(value);
    }

    /// The thread may wait; returns the number of the wait.
    pub(super) fn waited(&mut self, block: Block) -> usize {
        self.blocks[block].push(Event::Wait(self.waits));
        self.waits += 1;
        self.waits - 1
    }

    /// The type of a register, known once it is read.
    pub(super) fn ty(&self, variable: Variable) -> Option<Type> {
        self.definitions[variable].ty
    }

    /// Registers of which there is a single definition, with what it defines.
    pub(super) fn defined_once(&self) -> impl Iterator<Item = (Variable, Value)> {
        let all = self.definitions.iter();
        all.filter_map(|(variable, known)| match (known.count, known.value) {
            (1, Some(value)) => Some((variable, value)),
            _ => None,
        })
    }
}

/// A set of registers.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Registers {
    words: Vec<u64>,
}

impl Registers {
    fn new(count: usize, full: bool) -> Self {
        Self { words: vec![if full { u64::MAX } else { 0 }; count.div_ceil(64)] }
    }

    pub(super) fn insert(&mut self, variable: Variable) {
        let at = variable.index();
        if self.words.len() <= at / 64 {
            self.words.resize(at / 64 + 1, 0);
        }
        self.words[at / 64] |= 1 << (at % 64);
    }

    fn remove(&mut self, variable: Variable) {
        let at = variable.index();
        if let Some(word) = self.words.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(super) fn contains(&self, variable: Variable) -> bool {
        let at = variable.index();
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn combine(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        let length = self.words.len().max(other.words.len());
        self.words.resize(length, 0);
        for (at, word) in self.words.iter_mut().enumerate() {
            *word = with(*word, other.words.get(at).copied().unwrap_or(0));
        }
    }

    fn unite(&mut self, other: &Self) {
        self.combine(other, |a, b| a | b);
    }

    fn intersect(&mut self, other: &Self) {
        self.combine(other, |a, b| a & b);
    }

    fn subtract(&mut self, other: &Self) {
        self.combine(other, |a, b| a & !b);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Variable> {
        let words = self.words.iter().enumerate();
        words.flat_map(|(at, &word)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| Variable::new(at * 64 + bit))
        })
    }
}

/// What must happen to the record of a thread at one wait.
#[derive(Clone, Default)]
pub(super) struct Crossing {
    /// Stored before: it lives on, and the record does not hold it yet.
    pub(super) stores: Registers,
    /// Loaded after: it is read before the next wait.
    pub(super) loads: Registers,
}

/// Places where threads may have started or gone on last: 0 is the start, others are one more than
/// the wait. Nothing when they are many.
pub(super) type Origins = Option<BTreeSet<usize>>;

/// More origins than this are many.
const ORIGINS_MAX: usize = 3;

/// What is known of all waits.
pub(super) struct Flow {
    /// What happens to the record at each.
    pub(super) crossings: Vec<Crossing>,
    /// Where threads come from that get there.
    pub(super) origins: Vec<Origins>,
    /// Where threads come from that end.
    pub(super) end_origins: Origins,
}

impl Flow {
    /// Registers in `elsewhere` are made anew after a wait, and waits that are not `real` are passed
    /// without waiting; `end` is where a thread is done.
    pub(super) fn new(
        function: &Function,
        log: &Log,
        elsewhere: &Registers,
        real: &[bool],
        end: Block,
    ) -> Self {
        let analysis = Analysis::new(function, log, elsewhere, real, end);
        let live = analysis.live();
        let mut crossings = vec![Crossing::default(); real.len()];
        analysis.find_stores(&live, &mut crossings);
        analysis.find_loads(&live, &mut crossings);
        let mut origins = vec![Some(BTreeSet::new()); real.len()];
        let end_origins = analysis.find_origins(end, &mut origins);
        Self { crossings, origins, end_origins }
    }
}

struct Analysis {
    /// In the order of the text, which is nearly that of execution.
    blocks: Vec<Block>,
    events: SecondaryMap<Block, Vec<Event>>,
    successors: SecondaryMap<Block, Vec<Block>>,
    predecessors: SecondaryMap<Block, Vec<Block>>,
    variables: usize,
}

impl Analysis {
    fn new(
        function: &Function,
        log: &Log,
        elsewhere: &Registers,
        real: &[bool],
        end: Block,
    ) -> Self {
        let graph = ControlFlowGraph::with_function(function);
        let blocks: Vec<Block> = function.layout.blocks().collect();
        let reached = reached(function, &graph);
        let mut events = SecondaryMap::new();
        let mut successors = SecondaryMap::new();
        let mut predecessors: SecondaryMap<Block, Vec<Block>> = SecondaryMap::new();
        let mut variables = 0;
        for &block in &blocks {
            let kept = log.blocks[block].iter().copied().filter(|event| match event {
                Event::Use(variable) | Event::Define(variable) => {
                    variables = variables.max(variable.index() + 1);
                    !elsewhere.contains(*variable)
                }
                Event::Wait(wait) => real[*wait],
            });
            events[block] = kept.collect();
            // From there the next thread begins, which has registers of its own.
            if block != end {
                let next: Vec<Block> = graph.succ_iter(block).collect();
                // What is never executed says nothing about what the record holds.
                for &successor in next.iter().filter(|_| reached[block]) {
                    predecessors[successor].push(block);
                }
                successors[block] = next;
            }
        }
        Self { blocks, events, successors, predecessors, variables }
    }

    fn empty(&self) -> Registers {
        Registers::new(self.variables, false)
    }

    /// Goes through the blocks against their order until nothing changes; `through` turns what holds
    /// after a block to what holds before it. Returns what holds after each.
    fn backward(
        &self,
        through: impl Fn(Block, Registers) -> Registers,
    ) -> SecondaryMap<Block, Registers> {
        let mut before: SecondaryMap<Block, Registers> = SecondaryMap::new();
        let mut after: SecondaryMap<Block, Registers> = SecondaryMap::new();
        for &block in &self.blocks {
            before[block] = self.empty();
        }
        loop {
            let mut changed = false;
            for &block in self.blocks.iter().rev() {
                let mut state = self.empty();
                for &successor in &self.successors[block] {
                    state.unite(&before[successor]);
                }
                after[block] = state.clone();
                let state = through(block, state);
                changed |= state != before[block];
                before[block] = state;
            }
            if !changed {
                return after;
            }
        }
    }

    /// Registers that live after each wait.
    fn live(&self) -> Vec<(usize, Registers)> {
        let after = self.backward(|block, mut state| {
            for &event in self.events[block].iter().rev() {
                revive(event, &mut state);
            }
            state
        });
        let mut live = Vec::new();
        for &block in &self.blocks {
            let mut state = after[block].clone();
            for &event in self.events[block].iter().rev() {
                if let Event::Wait(wait) = event {
                    live.push((wait, state.clone()));
                }
                revive(event, &mut state);
            }
        }
        live.sort_by_key(|(wait, _)| *wait);
        live
    }

    /// A register need not be stored where the record holds its value on every way that leads there.
    fn find_stores(&self, live: &[(usize, Registers)], crossings: &mut [Crossing]) {
        let alive = |wait: usize| {
            let at = live.binary_search_by_key(&wait, |(wait, _)| *wait);
            &live[at.expect("every wait was visited")].1
        };
        let keep = |event: Event, held: &mut Registers| match event {
            Event::Use(_) => {}
            Event::Define(variable) => held.remove(variable),
            Event::Wait(wait) => held.unite(alive(wait)),
        };
        let mut after: SecondaryMap<Block, Registers> = SecondaryMap::new();
        for &block in &self.blocks {
            after[block] = Registers::new(self.variables, true);
        }
        let entering = |block: Block, after: &SecondaryMap<Block, Registers>| {
            let mut before = self.predecessors[block].iter().map(|&from| &after[from]);
            let Some(mut held) = before.next().cloned() else { return self.empty() };
            before.for_each(|other| held.intersect(other));
            held
        };
        loop {
            let mut changed = false;
            for &block in &self.blocks {
                let mut held = entering(block, &after);
                self.events[block].iter().for_each(|&event| keep(event, &mut held));
                changed |= held != after[block];
                after[block] = held;
            }
            if !changed {
                break;
            }
        }
        for &block in &self.blocks {
            let mut held = entering(block, &after);
            for &event in &self.events[block] {
                if let Event::Wait(wait) = event {
                    let mut stores = alive(wait).clone();
                    stores.subtract(&held);
                    crossings[wait].stores = stores;
                }
                keep(event, &mut held);
            }
        }
    }

    /// Finds where threads come from, at each wait and at the end.
    fn find_origins(&self, end: Block, origins: &mut [Origins]) -> Origins {
        let unite = |into: &mut Origins, from: &Origins| match (into.as_mut(), from) {
            (Some(known), Some(more)) => {
                known.extend(more);
                if known.len() > ORIGINS_MAX {
                    *into = None;
                }
            }
            _ => *into = None,
        };
        let mut after: SecondaryMap<Block, Origins> =
            SecondaryMap::with_default(Some(BTreeSet::new()));
        let start = self.blocks.first().copied();
        loop {
            let mut changed = false;
            for &block in &self.blocks {
                let started = (Some(block) == start).then_some(0);
                let mut state = Some(started.into_iter().collect());
                for &from in &self.predecessors[block] {
                    unite(&mut state, &after[from]);
                }
                for &event in &self.events[block] {
                    if let Event::Wait(wait) = event {
                        origins[wait] = state;
                        state = Some(BTreeSet::from([wait + 1]));
                    }
                }
                changed |= state != after[block];
                after[block] = state;
            }
            if !changed {
                return after[end].clone();
            }
        }
    }

    /// A register need not be loaded where another wait comes before it is read.
    fn find_loads(&self, live: &[(usize, Registers)], crossings: &mut [Crossing]) {
        let need = |event: Event, needed: &mut Registers, crossings: &[Crossing]| match event {
            Event::Wait(wait) => needed.clone_from(&crossings[wait].stores),
            _ => revive(event, needed),
        };
        let after = self.backward(|block, mut state| {
            for &event in self.events[block].iter().rev() {
                need(event, &mut state, crossings);
            }
            state
        });
        for &block in &self.blocks {
            let mut needed = after[block].clone();
            for &event in self.events[block].iter().rev() {
                if let Event::Wait(wait) = event {
                    crossings[wait].loads = needed.clone();
                }
                need(event, &mut needed, crossings);
            }
        }
        for (wait, live) in live {
            crossings[*wait].loads.intersect(live);
        }
    }
}

/// The blocks that execution may reach.
fn reached(function: &Function, graph: &ControlFlowGraph) -> SecondaryMap<Block, bool> {
    let mut reached: SecondaryMap<Block, bool> = SecondaryMap::new();
    let mut open: Vec<Block> = function.layout.entry_block().into_iter().collect();
    while let Some(block) = open.pop() {
        if !reached[block] {
            reached[block] = true;
            open.extend(graph.succ_iter(block));
        }
    }
    reached
}

/// What lives before an event, given what lives after it.
fn revive(event: Event, live: &mut Registers) {
    match event {
        Event::Use(variable) => live.insert(variable),
        Event::Define(variable) => live.remove(variable),
        Event::Wait(_) => {}
    }
}
