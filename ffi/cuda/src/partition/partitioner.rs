//! The one that confines lanes: it chooses how, leases lanes, and changes what they may run on.

use super::book::Book;
use super::choice::{ChooseError, PartitionWish};
use super::grant::{Grant, Grants, LeaseError, Seat, Wanted};
use super::green::Family;
use super::mask::{Mask, TPCS_MAX};
use super::probe::Probe;
use super::proof::Proven;
use super::report::{Abilities, BackendKind, BackendReport, LiveChange, Refusal, Verdict};
use crate::device::Device;
use crate::lane::Lane;
use crate::sets::{SMS_PER_TPC, SmSet, TpcSet};
use crate::stream::Stream;
use crate::wake::Wake;
use std::rc::Rc;

/// Confines lanes of one device. Everything is made when it is chosen; later it only hands out.
///
/// Lanes that it leased may outlive it.
pub struct Partitioner {
    backend: Backend,
    abilities: Abilities,
    reports: Vec<BackendReport>,
    book: Rc<Book>,
    probe: Probe,
}

enum Backend {
    Green(Family),
    Masks { mask: Mask, sms_by_tpc: Vec<SmSet> },
    None { all: Grant },
}

/// What a lane moves to.
struct Place {
    grant: Grant,
    /// The stream that has it; where there is none, the lane keeps its own.
    stream: Option<Rc<Stream>>,
}

impl Partitioner {
    /// Chooses how lanes of `device` are confined, makes what that takes and measures it. Leased lanes
    /// wake through `wake`. For start-up: this may synchronise the device.
    ///
    /// # Errors
    /// When the backend that `wish` names cannot be used, or the lanes cannot be made. Without a name
    /// there is always a backend: at worst [`BackendKind::None`], and the reports say why.
    pub fn choose(device: &Device, wake: &Wake, wish: &PartitionWish) -> Result<Self, ChooseError> {
        let probe = device.probe()?;
        let mut chosen = None;
        let mut reports = Vec::with_capacity(BackendKind::ALL.len());
        for kind in BackendKind::ALL {
            let verdict = if wish.backend.is_some_and(|wanted| wanted != kind) {
                Verdict::NotWanted
            } else if chosen.is_some() {
                check(device, wish, kind).map_or_else(Verdict::Refused, |()| Verdict::NotNeeded)
            } else {
                match make(device, wake, wish, &probe, kind) {
                    Ok(backend) => {
                        let abilities = backend.abilities();
                        chosen = Some((backend, abilities));
                        Verdict::Chosen(abilities)
                    }
                    Err(refusal) => Verdict::Refused(refusal),
                }
            };
            reports.push(BackendReport { backend: kind, verdict });
        }
        let Some((backend, abilities)) = chosen else {
            let wanted = wish.backend.unwrap_or(BackendKind::None);
            return Err(ChooseError::NotPossible { wanted, reports });
        };
        let lanes: Result<_, _> = (0..wish.lanes).map(|_| backend.lane(device, wake)).collect();
        let book = Book::open(&device.shared().context, lanes?)?;
        Ok(Self { backend, abilities, reports, book, probe })
    }

    /// The backend in use.
    pub fn backend(&self) -> BackendKind {
        match self.backend {
            Backend::Green(_) => BackendKind::GreenContexts,
            Backend::Masks { .. } => BackendKind::StreamMasks,
            Backend::None { .. } => BackendKind::None,
        }
    }

    /// What it can do.
    pub fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    /// What each backend came to, the best first.
    pub fn reports(&self) -> &[BackendReport] {
        &self.reports
    }

    /// What measures lanes of this device.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// The grants that there are. For start-up: this allocates.
    pub fn grants(&self) -> Grants {
        match &self.backend {
            Backend::Green(family) => {
                Grants::These(family.members.iter().map(|member| *member.grant.tpcs()).collect())
            }
            Backend::Masks { sms_by_tpc, .. } => {
                Grants::AnyOf((0..).zip(sms_by_tpc).map(|(tpc, _)| tpc).collect())
            }
            Backend::None { all } => Grants::These(vec![*all.tpcs()]),
        }
    }

    /// SMs that no lane has or works on. Where there are no partitions, all of them.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn free(&self) -> Result<SmSet, LeaseError> {
        self.book.settle()?;
        Ok(self.free_but_for(None))
    }

    /// Leases a lane. Allocates nothing and does not wait.
    ///
    /// # Errors
    /// When there is no such grant, it would meet another lane's, or no lane is left.
    pub fn lease(&self, wanted: Wanted) -> Result<Lane, LeaseError> {
        self.book.settle()?;
        let place = self.find(wanted, None)?;
        let mut lane = self.book.take_idle()?;
        self.book.enter(lane.id(), *place.grant.sms());
        if let Some(stream) = place.stream {
            // An idle lane has no work that the new stream would have to wait for.
            lane.move_to(stream);
        }
        self.confine(&lane, place.grant.tpcs());
        *lane.seat_mut() = Some(Seat::new(place.grant, &self.book));
        Ok(lane)
    }

    /// Changes what a lane may run on, between two launches and while it has work: what was issued
    /// before runs where it was, what comes later runs on `tpcs` alone, after it. Others can have what
    /// the lane gave up when its work there has retired. Allocates nothing and does not wait.
    ///
    /// # Errors
    /// As [`Self::lease`]; the lane then keeps what it has.
    pub fn regrant(&self, lane: &mut Lane, tpcs: TpcSet) -> Result<(), LeaseError> {
        if matches!(self.backend, Backend::None { .. }) {
            return Err(LeaseError::Unchangeable);
        }
        let before = self.grant_of(lane)?;
        if *before.tpcs() == tpcs {
            return Ok(());
        }
        self.book.settle()?;
        let place = self.find(Wanted::Tpcs(tpcs), Some(lane.id()))?;
        let (number, stream) = (lane.id(), Rc::clone(lane.queue()));
        let given_up = before.sms().difference(place.grant.sms());
        match place.stream {
            Some(next) => {
                self.book.drain(number, *before.sms(), &stream, |event| next.follow(event))?;
                lane.move_to(next);
            }
            None if given_up.is_empty() => {}
            None => self.book.drain(number, given_up, &stream, |_| Ok(()))?,
        }
        self.confine(lane, place.grant.tpcs());
        self.book.change(number, *place.grant.sms());
        if let Some(seat) = lane.seat_mut() {
            seat.change(place.grant);
        }
        Ok(())
    }

    /// Takes a lane back. Its work runs to its end; its SMs are free when that has retired. Does not
    /// wait, but where it fails: the lane is then gone, after its work.
    ///
    /// # Errors
    /// When it was not leased here, or what the driver answered.
    pub fn give_back(&self, mut lane: Lane) -> Result<(), LeaseError> {
        let grant = self.grant_of(&lane)?;
        *lane.seat_mut() = None;
        self.book.strike(lane.id());
        Ok(self.book.park(lane, *grant.sms())?)
    }

    fn grant_of(&self, lane: &Lane) -> Result<Grant, LeaseError> {
        let seat = lane.seat().filter(|seat| seat.is_in(&self.book));
        seat.map(|seat| *seat.grant()).ok_or(LeaseError::NotLeasedHere)
    }

    fn free_but_for(&self, lane: Option<u32>) -> SmSet {
        match &self.backend {
            Backend::Green(family) => family
                .members
                .iter()
                .fold(SmSet::EMPTY, |all, member| all.union(member.grant.sms()))
                .difference(&self.book.taken(lane)),
            Backend::Masks { sms_by_tpc, .. } => sms_by_tpc
                .iter()
                .fold(SmSet::EMPTY, |all, sms| all.union(sms))
                .difference(&self.book.taken(lane)),
            Backend::None { all } => *all.sms(),
        }
    }

    /// Finds a place that no lane but `lane` is in.
    fn find(&self, wanted: Wanted, lane: Option<u32>) -> Result<Place, LeaseError> {
        match (&self.backend, wanted) {
            (Backend::None { all }, Wanted::Sms(_)) => Ok(Place { grant: *all, stream: None }),
            (Backend::None { all }, Wanted::Tpcs(wanted)) if wanted == *all.tpcs() => {
                Ok(Place { grant: *all, stream: None })
            }
            (Backend::None { .. }, Wanted::Tpcs(wanted)) => Err(LeaseError::NoSuchGrant { wanted }),
            (Backend::Green(family), Wanted::Tpcs(wanted)) => {
                let mut members = family.members.iter();
                let member = members.find(|member| *member.grant.tpcs() == wanted);
                let member = member.ok_or(LeaseError::NoSuchGrant { wanted })?;
                self.book.meets(member.grant.sms(), lane)?;
                Ok(Place { grant: member.grant, stream: Some(Rc::clone(&member.stream)) })
            }
            (Backend::Green(family), Wanted::Sms(wanted)) => {
                let is_fit = |grant: &Grant| {
                    grant.sm_count() >= wanted && self.book.meets(grant.sms(), lane).is_ok()
                };
                let fit = family.members.iter().filter(|member| is_fit(&member.grant));
                let member = fit.min_by_key(|member| member.grant.sm_count());
                let free = || self.free_but_for(lane).len();
                let member = member.ok_or_else(|| LeaseError::NoRoom { wanted, free: free() })?;
                Ok(Place { grant: member.grant, stream: Some(Rc::clone(&member.stream)) })
            }
            (Backend::Masks { sms_by_tpc, .. }, Wanted::Tpcs(wanted)) => {
                let grant = masked(sms_by_tpc, wanted).ok_or(LeaseError::NoSuchGrant { wanted })?;
                self.book.meets(grant.sms(), lane)?;
                Ok(Place { grant, stream: None })
            }
            (Backend::Masks { sms_by_tpc, .. }, Wanted::Sms(wanted)) => {
                let free = self.free_but_for(lane);
                let no_room = LeaseError::NoRoom { wanted, free: free.len() };
                let grant = lowest(sms_by_tpc, &free, wanted).ok_or(no_room)?;
                Ok(Place { grant, stream: None })
            }
        }
    }

    /// Stores the mask of a lane's own stream, where that is how lanes are confined.
    fn confine(&self, lane: &Lane, tpcs: &TpcSet) {
        if let Backend::Masks { mask, .. } = &self.backend {
            mask.store(lane.queue(), tpcs);
        }
    }
}

/// The grant of TPCs that a mask has bits for, unless there are none.
fn masked(sms_by_tpc: &[SmSet], tpcs: TpcSet) -> Option<Grant> {
    let mut sms = SmSet::EMPTY;
    for tpc in tpcs.iter() {
        sms = sms.union(sms_by_tpc.get(tpc as usize)?);
    }
    (!sms.is_empty()).then(|| Grant::of(tpcs, sms))
}

/// The first free TPCs that together have `wanted` SMs, at least one.
fn lowest(sms_by_tpc: &[SmSet], free: &SmSet, wanted: u32) -> Option<Grant> {
    let (mut tpcs, mut sms) = (TpcSet::EMPTY, SmSet::EMPTY);
    for (tpc, of_tpc) in (0..).zip(sms_by_tpc).filter(|(_, of_tpc)| of_tpc.is_subset(free)) {
        if !sms.is_empty() && sms.len() >= wanted {
            break;
        }
        assert!(tpcs.insert(tpc), "a mask has fewer bits than a set");
        sms = sms.union(of_tpc);
    }
    (!sms.is_empty() && sms.len() >= wanted).then(|| Grant::of(tpcs, sms))
}

/// Whether anything speaks against a backend that is not made.
fn check(device: &Device, wish: &PartitionWish, kind: BackendKind) -> Result<(), Refusal> {
    match kind {
        BackendKind::StreamMasks => proof(device, wish).map(|_| ()),
        // Green contexts are made before anything else, and none needs nothing.
        BackendKind::GreenContexts | BackendKind::None => Ok(()),
    }
}

/// The proof that this driver's mask may be used on this device.
fn proof<'a>(device: &Device, wish: &'a PartitionWish) -> Result<&'a Proven, Refusal> {
    let key = device.driver_key();
    let offset = wish.allow_list.offset(key).ok_or_else(|| Refusal::NotListed(key.clone()))?;
    let tpcs = device.info().sm_count / SMS_PER_TPC;
    if tpcs > TPCS_MAX {
        return Err(Refusal::TooManyTpcs { tpcs });
    }
    let proven = wish.proven.as_ref().ok_or_else(|| Refusal::NotProven(key.clone()))?;
    if proven.key() != key || proven.offset() != offset {
        let (proven, found) = (Box::new(proven.key().clone()), Box::new(key.clone()));
        return Err(Refusal::OtherProof { proven, found });
    }
    Ok(proven)
}

/// Makes a backend, and sees that it does what it should.
fn make(
    device: &Device,
    wake: &Wake,
    wish: &PartitionWish,
    probe: &Probe,
    kind: BackendKind,
) -> Result<Backend, Refusal> {
    match kind {
        BackendKind::GreenContexts => {
            let mut lane = device.lane(wake)?;
            let version = device.info().driver_version;
            Family::make(version, &mut lane, probe, wish.atom_sms).map(Backend::Green)
        }
        BackendKind::StreamMasks => {
            let proven = proof(device, wish)?;
            let sms_by_tpc = proven.sms_by_tpc().to_vec();
            // SAFETY: the self-test of this very driver and device came through at this offset.
            let mask = unsafe { Mask::at(proven.offset()) };
            see_masks(device, wake, probe, mask, &sms_by_tpc)?;
            Ok(Backend::Masks { mask, sms_by_tpc })
        }
        BackendKind::None => {
            let sms = probe.measure(&mut device.lane(wake)?)?.sms;
            Ok(Backend::None { all: Grant::of(sms.tpcs(), sms) })
        }
    }
}

/// Sees in this process, too, that a mask does what the other one saw: with each half of the TPCs.
fn see_masks(
    device: &Device,
    wake: &Wake,
    probe: &Probe,
    mask: Mask,
    sms_by_tpc: &[SmSet],
) -> Result<(), Refusal> {
    let mut lane = device.lane(wake)?;
    let tpcs: Vec<u32> = (0..).zip(sms_by_tpc).map(|(tpc, _)| tpc).collect();
    for part in tpcs.chunks(tpcs.len().div_ceil(2).max(1)) {
        let tpcs: TpcSet = part.iter().copied().collect();
        let grant = masked(sms_by_tpc, tpcs).expect("TPCs of the proof");
        mask.store(lane.queue(), &tpcs);
        let seen = probe.measure_for(&mut lane, grant.sm_count())?.sms;
        if seen != *grant.sms() {
            let (granted, expected) = (grant.sm_count(), Some(Box::new(*grant.sms())));
            return Err(Refusal::NotConfined { granted, seen, expected });
        }
    }
    Ok(())
}

impl Backend {
    fn abilities(&self) -> Abilities {
        match self {
            Self::Green(family) => Abilities {
                granularity_sms: family.granularity_sms,
                may_overlap: true,
                live_change: LiveChange::OtherLane,
                has_read_back: true,
            },
            Self::Masks { .. } => Abilities {
                granularity_sms: SMS_PER_TPC,
                may_overlap: true,
                live_change: LiveChange::Store,
                has_read_back: false,
            },
            Self::None { all } => Abilities {
                granularity_sms: all.sm_count(),
                may_overlap: true,
                live_change: LiveChange::No,
                has_read_back: false,
            },
        }
    }

    /// A lane that waits to be leased: on a stream of its own, where leasing does not give it one.
    fn lane(&self, device: &Device, wake: &Wake) -> Result<Lane, crate::CudaError> {
        match self {
            Self::Green(family) => {
                let stream = Rc::clone(&family.members[0].stream);
                Lane::on(device.shared(), device.next_lane(), wake, stream)
            }
            Self::Masks { .. } | Self::None { .. } => device.lane(wake),
        }
    }
}
