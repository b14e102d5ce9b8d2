//! Channels come and go.

use super::channel::{Channel, Stage};
use super::commands::News;
use super::dispatch::Dispatch;
use gpumux_core::{Event, MonoTime};
use gpumux_wire::request::Violation;

impl Dispatch {
    pub(super) fn attach(&mut self, channel: Box<Channel>) {
        // The control thread counts channels, and never sends more than there are places.
        let place = self.channels.iter().position(Option::is_none).expect("a place is free");
        let function = channel.function;
        if self.bed.admit(place, &channel.wake).is_err() {
            return self.tell(News::Left(channel));
        }
        self.counters.functions[function.index()].set_channels(|count| count + 1);
        self.channels[place] = Some(channel);
        self.places = self.places.max(place + 1);
    }

    /// A peer broke the protocol: its channel is left, and the supervisor ends its session.
    pub(super) fn violate(&mut self, place: usize, violation: Violation) {
        let Some(channel) = &self.channels[place] else { return };
        if matches!(channel.stage, Stage::Serving | Stage::Resuming) {
            self.tell(News::Violation(channel.attachment, violation));
            self.leave(place);
        }
    }

    /// Stops serving a channel. What it holds is cancelled by the pass, not here: this may be called
    /// while an event's actions are being performed.
    pub(super) fn leave(&mut self, place: usize) {
        if let Some(channel) = &mut self.channels[place]
            && matches!(channel.stage, Stage::Serving | Stage::Resuming)
        {
            channel.stage = Stage::Leaving;
        }
    }

    /// Cancels what a leaving channel holds: what is queued ends now, what runs is awaited.
    pub(super) fn empty(&mut self, now: MonoTime, place: usize) {
        let Some(channel) = &mut self.channels[place] else { return };
        if channel.stage != Stage::Leaving {
            return;
        }
        channel.stage = Stage::Emptying;
        for slot in 0..channel.slot_count() {
            // The last cancellation may have taken the channel out of the table.
            let held = self.channels[place].as_ref().and_then(|channel| channel.held(slot));
            if let Some(request) = held {
                self.feed(now, Event::Cancelled { request });
            }
        }
        self.part_if_done(place);
    }

    pub(super) fn part_if_done(&mut self, place: usize) {
        if let Some(channel) = self.channels[place].take_if(|channel| channel.is_done()) {
            self.bed.dismiss(&channel.wake);
            self.counters.functions[channel.function.index()].set_channels(|count| count - 1);
            self.tell(News::Left(channel));
        }
    }
}
