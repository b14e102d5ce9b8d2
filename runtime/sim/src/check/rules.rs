//! The rules. Each looks at the books and at what comes next, and says what is wrong with it.
//!
//! What must be true when an event has been answered is looked at when the next one comes.

use super::books::{Books, Open, refuses};
use crate::history::Seen;
use gpumux_core::{BatchId, Ending, Event, LaneId, MonoTime, Past, RequestId, Sharing};

/// Whether something may follow.
pub(super) type Rule = fn(&Books, MonoTime, &Seen<'_>) -> Result<(), String>;

/// All of them, by name.
pub(super) const RULES: [(&str, Rule); 12] = [
    ("one outcome", one_outcome),
    ("endings", endings),
    ("queue bound", queue_bound),
    ("run-ahead", run_ahead),
    ("lanes", lanes),
    ("batches", batches),
    ("deadlines", deadlines),
    ("stops", stops),
    ("trials", trials),
    ("idle lanes", idle_lanes),
    ("priorities", priorities),
    ("wake-ups", wake_ups),
];

fn hold(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Every request that arrives ends once, unless the scheduler was halted before it began.
fn one_outcome(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    match seen {
        Seen::Event(Event::Arrived(arrival)) => {
            let request = arrival.request;
            hold(books.open(request).is_none(), || format!("{request:?} arrives and is open"))
        }
        Seen::Complete { request, ending } => hold(books.open(*request).is_some(), || {
            format!("{request:?} ends with {ending:?} and is not open")
        }),
        Seen::Release { batch } => {
            let members = books.batches.get(batch).map(|running| &running.members);
            let left = members
                .into_iter()
                .flatten()
                .find(|it| books.open(**it).is_some_and(|open| open.batch == Some(*batch)));
            hold(left.is_none(), || format!("{batch:?} is over, and {left:?} in it has no outcome"))
        }
        Seen::End => {
            let stops = books.halted || books.recovering;
            let left = books.all_open().find(|open| !stops || open.batch.is_some());
            hold(left.is_none(), || format!("nothing happens any more, and this is open: {left:?}"))
        }
        _ => Ok(()),
    }
}

/// An outcome is what happened to the request.
fn endings(books: &Books, now: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    let Seen::Complete { request, ending } = seen else { return Ok(()) };
    let Some(open) = books.open(*request) else { return Ok(()) };
    let running = open.batch.and_then(|batch| books.batches.get(&batch));
    let told = |holds| hold(holds, || format!("{request:?} ends with {ending:?} as {open:?}"));
    if refuses(ending) {
        return told(books.answers_arrival_of(*request) && open.arrival.past == Past::New);
    }
    match (ending, running) {
        (Ending::Cancelled, None) => told(open.cancelled),
        (Ending::Cancelled, Some(running)) => told(open.cancelled && running.has_ended()),
        (Ending::DeviceFailed, Some(running)) => told(running.failed && !open.cancelled),
        (Ending::Done { queued, ran, batch }, Some(running)) => {
            let whole = running.has_ended() && !running.failed && !open.cancelled;
            let waited = running.begun.since(open.arrival.arrived) == *queued;
            let members = u32::try_from(running.members.len()) == Ok(*batch);
            told(whole && waited && now.since(running.begun) == *ran && members)
        }
        (Ending::DeadlineMissed, None) => Ok(()),
        (Ending::DeadlineMissed, Some(_)) | (Ending::DeviceFailed | Ending::Done { .. }, None) => {
            told(false)
        }
        (Ending::QueueFull { .. } | Ending::Draining, _) => Ok(()),
    }
}

/// No more wait than the queue holds, and none is refused for a full queue that is not full. What a
/// dead worker had admitted is beyond the bound.
fn queue_bound(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    match seen {
        Seen::Event(_) | Seen::End => {
            for (function, spec) in (0u16..).zip(&books.functions) {
                let new = |open: &&Open| {
                    open.arrival.function.0 == function && open.arrival.past == Past::New
                };
                let waiting = books.waiting().filter(new).count();
                hold(waiting <= spec.queue as usize, || {
                    format!(
                        "{waiting} wait for function {function}, whose queue holds {}",
                        spec.queue
                    )
                })?;
            }
            Ok(())
        }
        Seen::Complete { request, ending: Ending::QueueFull { .. } } => {
            let Some(open) = books.open(*request) else { return Ok(()) };
            let function = open.arrival.function;
            let own = |open: &&Open| open.arrival.function == function;
            // The one that is refused is among them.
            let before = books.waiting().filter(own).count() - 1;
            hold(before >= books.spec(function).queue as usize, || {
                format!("{request:?} is refused for a full queue, and {before} wait")
            })
        }
        _ => Ok(()),
    }
}

/// Segments go out in order, on the batch's lane, up to run-ahead, and no fewer than can.
fn run_ahead(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    match seen {
        Seen::Issue { batch, lane, segment } => {
            let Some(running) = books.batches.get(batch) else {
                return Err(format!("segment {segment} of {batch:?}, which has no lane"));
            };
            let outstanding = running.issued - running.retired;
            let fits = running.segments.is_some_and(|segments| *segment < segments);
            let holds = *lane == running.lane
                && *segment == running.issued
                && outstanding < books.run_ahead
                && fits
                && !running.failed;
            hold(holds, || format!("segment {segment} on {lane:?} of {batch:?}: {running:?}"))
        }
        Seen::Event(_) | Seen::End => {
            for (batch, running) in &books.batches {
                let Some(segments) = running.segments else { continue };
                let due = segments.min(running.retired + books.run_ahead);
                hold(running.issued == due, || {
                    format!("{batch:?} could have {due} segments issued: {running:?}")
                })?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A lane holds one batch, from its beginning to its end.
fn lanes(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    match seen {
        Seen::Begin { batch, lane: LaneId(lane), .. } => {
            hold(*lane < books.lanes, || format!("{batch:?} on lane {lane} of {}", books.lanes))?;
            let there = books.batches.get(batch);
            hold(there.is_none(), || format!("{batch:?} begins and runs: {there:?}"))?;
            let holder: Option<BatchId> = books.holder(LaneId(*lane));
            hold(holder.is_none(), || format!("{batch:?} on lane {lane}, which {holder:?} holds"))
        }
        Seen::Release { batch } => {
            let ended = books.batches.get(batch).map(|running| running.has_ended());
            hold(ended == Some(true), || format!("{batch:?} is over: has it ended? {ended:?}"))
        }
        Seen::Event(_) | Seen::End => {
            let over = books.batches.iter().find(|(_, running)| running.has_ended());
            hold(over.is_none(), || format!("a batch ended and was not released: {over:?}"))
        }
        _ => Ok(()),
    }
}

/// A batch is of requests that wait, of one function, that may share it, in order, no more than fit.
fn batches(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    let Seen::Begin { batch, function, members, .. } = seen else { return Ok(()) };
    let spec = books.spec(*function);
    let count = members.len();
    hold((1..=spec.max_batch as usize).contains(&count), || {
        format!("{batch:?} has {count} requests, from 1 to {} fit", spec.max_batch)
    })?;
    let bucket = |length: u32| spec.buckets.iter().position(|longest| length <= *longest);
    let mut last: Option<(RequestId, &Open)> = None;
    for member in *members {
        let Some(open) = books.open(*member) else {
            return Err(format!("{member:?} in {batch:?} has ended"));
        };
        let own = open.batch.is_none() && open.arrival.function == *function;
        hold(own, || format!("{member:?} in {batch:?} of {function:?}: {open:?}"))?;
        if let Some((earlier, before)) = last {
            let (one, other) = (before.arrival, open.arrival);
            let fits = match (one.past, other.past) {
                (Past::Suspect { trial }, past) => past == Past::Suspect { trial },
                (_, Past::Suspect { .. }) => false,
                _ => match spec.sharing {
                    Sharing::AnyLength => bucket(one.length) == bucket(other.length),
                    Sharing::EqualLength => one.length == other.length,
                },
            };
            let ordered = one.arrived <= other.arrived && *member != earlier;
            hold(fits && ordered, || format!("{earlier:?} before {member:?} in {batch:?}"))?;
        }
        last = Some((*member, open));
    }
    Ok(())
}

/// A request whose budget passes while it waits leaves at that moment, no earlier and no later.
fn deadlines(books: &Books, now: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    match seen {
        Seen::Complete { request, ending: Ending::DeadlineMissed } => {
            let deadline = books.open(*request).map(Open::deadline);
            hold(deadline.is_none_or(|deadline| deadline == now), || {
                format!("{request:?} misses its deadline {deadline:?} now")
            })
        }
        Seen::Begin { batch, members, .. } => {
            let late = |it: &&RequestId| books.open(**it).is_some_and(|it| it.deadline() <= now);
            let late = members.iter().find(late);
            hold(late.is_none(), || format!("{batch:?} begins with {late:?}, whose budget is over"))
        }
        // At one moment several things may happen, and the deadline is acted on in the first.
        Seen::Event(_) | Seen::End => {
            let late = books.waiting().find(|open| open.deadline() < now);
            hold(late.is_none(), || format!("it waits past its deadline: {late:?}"))
        }
        _ => Ok(()),
    }
}

/// Nothing new is admitted after a drain; nothing begins after a halt or before recovery is over.
fn stops(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    match seen {
        Seen::Begin { batch, .. } => hold(!books.halted && !books.recovering, || {
            let (halted, recovering) = (books.halted, books.recovering);
            format!("{batch:?} begins; halted: {halted}, recovering: {recovering}")
        }),
        Seen::Complete { request, ending: Ending::Draining } => hold(books.draining, || {
            format!("{request:?} is refused for a drain that was not asked for")
        }),
        Seen::Event(_) | Seen::End => {
            let Some(Event::Arrived(arrival)) = books.event else { return Ok(()) };
            let request = arrival.request;
            let admitted = books.open(request).is_some() && arrival.past == Past::New;
            hold(!(books.draining && admitted), || format!("{request:?} is admitted in a drain"))
        }
        _ => Ok(()),
    }
}

/// A batch on trial has the device for itself, and what was innocent comes before it.
fn trials(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    let Seen::Begin { batch, function, members, .. } = seen else { return Ok(()) };
    let tried = books.batches.iter().find(|(_, running)| running.on_trial);
    hold(tried.is_none(), || format!("{batch:?} begins beside a trial: {tried:?}"))?;
    let own = |open: &&Open| open.is_suspect() && open.arrival.function == *function;
    let suspect = |it: &RequestId| books.open(*it).is_some_and(Open::is_suspect);
    if !members.iter().any(suspect) {
        let before = books.all_open().find(own);
        return hold(before.is_none(), || format!("{batch:?} begins before a trial: {before:?}"));
    }
    let beside = books.batches.len();
    hold(beside == 0, || format!("{batch:?} is on trial beside {beside} batches"))?;
    let innocent = |open: &&Open| open.arrival.past == Past::Innocent && !open.barred;
    let first = books.all_open().find(innocent);
    hold(first.is_none(), || format!("{batch:?} is on trial before an innocent: {first:?}"))
}

/// No lane is idle while somebody waits who may begin.
fn idle_lanes(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    let answered = matches!(seen, Seen::Event(_) | Seen::End);
    let stops = books.halted || books.recovering || books.all_open().any(Open::is_suspect);
    if !answered || stops || !books.is_work_conserving {
        return Ok(());
    }
    let free = books.batches.len() < usize::from(books.lanes);
    let waits = if free { books.waiting().next() } else { None };
    hold(waits.is_none(), || format!("a lane is idle, and this waits: {waits:?}"))
}

/// Where the policy says so, no batch begins while something waits of a higher priority that could; a
/// function's trials come before the rest of it.
fn priorities(books: &Books, _: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    let Seen::Begin { batch, function, members, .. } = seen else { return Ok(()) };
    let suspects = || books.all_open().filter(|open| open.is_suspect());
    let on_trial = |function| suspects().any(|open| open.arrival.function == function);
    let is_trial = members.iter().any(|it| books.open(*it).is_some_and(Open::is_suspect));
    if !books.is_by_priority || is_trial {
        return Ok(());
    }
    let own = books.spec(*function).priority;
    let mut waiting = books.waiting().filter(|open| !on_trial(open.arrival.function));
    let before = waiting.find(|open| books.spec(open.arrival.function).priority > own);
    hold(before.is_none(), || {
        format!("{batch:?} is of {own:?} priority, and this waits: {before:?}")
    })
}

/// A tick is asked for later, never for now: that would not end.
fn wake_ups(_: &Books, now: MonoTime, seen: &Seen<'_>) -> Result<(), String> {
    let Seen::WakeAt(at) = seen else { return Ok(()) };
    hold(*at > now, || format!("a tick is asked for at {at:?}, which is no later than now"))
}
