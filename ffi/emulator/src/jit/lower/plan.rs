//! How a kernel whose threads wait is cut into regions: what each thread keeps in its record across
//! every wait, and what is known of the wait before the kernel runs.

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, Function, Type, Value};
use cranelift_frontend::Variable;

use super::flow::{Crossing, Flow, Log, Origins, Registers};
use super::rebuild::{Inputs, Source};
use crate::jit::wait::{BarrierOp, Site, WarpOp, Word};

/// A wait as it is lowered; the values are those of the function.
#[derive(Clone, Copy)]
pub(super) enum Request {
    /// Others may run.
    Turn,
    /// `activemask`
    Active,
    /// A barrier of the block.
    Barrier { op: BarrierOp, id: Value, expected: Value, predicate: Value },
    /// Lanes of the warp.
    Warp { op: WarpOp, members: Value, value: Value, select: Value, clamp: Value },
}

/// What a first pass over a kernel finds.
pub(super) struct Findings {
    pub(super) log: Log,
    pub(super) requests: Vec<Request>,
    /// What values may be made anew from.
    pub(super) inputs: Inputs,
    /// Where a thread is done.
    pub(super) end: Block,
    /// Loops may wait for what other threads write: so each looks now and then whether they can run.
    pub(super) spins: bool,
    /// The types of all registers, in the order in which the text first names them.
    pub(super) registers: Vec<Type>,
}

/// What the executor of a kernel that is cut must know.
#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    /// Its waits, in the order of the text: the first is resumed at 1.
    pub(crate) sites: Vec<Site>,
    /// What a thread keeps across waits.
    pub(crate) record_bytes: u32,
}

/// One wait of a kernel that is cut into regions.
pub(super) struct Cut {
    /// What it is; nothing for a turn that the kernel does not need.
    pub(super) site: Option<Site>,
    /// Registers that are stored before and loaded after.
    pub(super) crossing: Crossing,
    /// Where threads that get here have started or gone on last, if that is known.
    pub(super) origins: Origins,
}

/// The cuts of a kernel.
pub(super) struct Plan {
    /// Its waits, in the order of the text.
    pub(super) cuts: Vec<Cut>,
    /// Where each register lies in the record, and its type; nothing for those that are never there.
    slots: SecondaryMap<Variable, Option<(i32, Type)>>,
    /// Length of a record.
    pub(super) record_bytes: u32,
    /// Where threads that end have started or gone on last.
    pub(super) end_origins: Origins,
    /// Registers that are made anew where they are read, and what they are in the source.
    cheap: SecondaryMap<Variable, Option<Value>>,
    pub(super) source: Source,
    /// The types of all registers, in the order in which the text first names them.
    pub(super) registers: Vec<Type>,
}

impl Plan {
    /// Decides from the function that a first pass has made, and from what it has found.
    pub(super) fn new(function: Function, findings: Findings) -> Self {
        let Findings { log, requests, inputs, end, spins, registers } = findings;
        let mut source = Source::new(function, inputs);
        let mut cheap = SecondaryMap::new();
        let mut elsewhere = Registers::default();
        for (variable, value) in log.defined_once().filter(|(_, value)| source.is_cheap(*value)) {
            cheap[variable] = Some(value);
            elsewhere.insert(variable);
        }
        let real: Vec<bool> =
            requests.iter().map(|request| spins || !matches!(request, Request::Turn)).collect();
        let Flow { crossings, origins, end_origins } =
            Flow::new(source.function(), &log, &elsewhere, &real, end);
        let (slots, record_bytes) = layout(&crossings, &log);
        let sites = (0u32..).zip(&requests).map(|(number, request)| site(number, request, &source));
        let cuts = sites
            .zip(real)
            .zip(crossings.into_iter().zip(origins))
            .map(|((site, real), (crossing, origins))| {
                let site = real.then_some(site);
                Cut { site, crossing, origins }
            })
            .collect();
        Self { cuts, slots, record_bytes, end_origins, cheap, source, registers }
    }

    /// Where a register lies that crosses a wait, and its type.
    pub(super) fn slot(&self, variable: Variable) -> (i32, Type) {
        self.slots[variable].expect("what crosses a wait has a place in the record")
    }

    /// What the executor must know.
    pub(super) fn outcome(&self) -> Cuts {
        let sites = self.cuts.iter().map(|cut| cut.site.unwrap_or(Site::Turn)).collect();
        Cuts { sites, record_bytes: self.record_bytes }
    }

    /// What a register is in the source, if it is made anew wherever it is read, and so never written.
    pub(super) fn cheap(&self, variable: Variable) -> Option<Value> {
        self.cheap[variable]
    }
}

/// Places the registers that cross a wait, the widest first, so that none is misaligned.
fn layout(crossings: &[Crossing], log: &Log) -> (SecondaryMap<Variable, Option<(i32, Type)>>, u32) {
    let mut all = Registers::default();
    for crossing in crossings {
        crossing.stores.iter().for_each(|variable| all.insert(variable));
    }
    let ty = |variable| log.ty(variable).expect("what lives is read later");
    let mut stored: Vec<(Variable, Type)> =
        all.iter().map(|variable| (variable, ty(variable))).collect();
    stored.sort_by_key(|(_, ty)| std::cmp::Reverse(ty.bytes()));
    let mut end = 0;
    let mut slots = SecondaryMap::new();
    for (variable, ty) in stored {
        slots[variable] = Some((i32::try_from(end).expect("a function has few registers"), ty));
        end += ty.bytes();
    }
    (slots, end.next_multiple_of(8))
}

fn site(number: u32, request: &Request, source: &Source) -> Site {
    let word = |value: Value| {
        let constant = source.constant(value);
        constant.map_or(Word::Brought, |constant| {
            Word::Known(u32::try_from(constant & 0xffff_ffff).unwrap_or(0))
        })
    };
    match *request {
        Request::Turn => Site::Turn,
        Request::Active => Site::Active { site: number },
        Request::Barrier { op, id, expected, .. } => {
            Site::Barrier { op, id: word(id), expected: word(expected) }
        }
        Request::Warp { op, members, select, clamp, .. } => {
            Site::Warp { op, members: word(members), select: word(select), clamp: word(clamp) }
        }
    }
}
