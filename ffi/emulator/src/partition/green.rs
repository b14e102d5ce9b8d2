//! Green contexts: the primary context of a device, seen through some of its SMs. Memory, modules
//! and events stay the primary context's; only streams, and who waits for whom, are a green one's.

use super::descriptor::{Descriptor, Workqueues};
use super::resource::{Origin, RESOURCES, SmResource};
use crate::code::{Code, Outcome};
use crate::context::{Context, View};
use crate::device::Device;
use crate::handle::{Handle, Table};
use crate::schedule::{Manner, SCHEDULE, StreamId};
use crate::strict::{self, Call};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// All live green contexts.
static GREENS: Table<Green> = Table::new(0x6723);
/// Those that were converted, by the handle that they have as contexts. The two handles differ, so
/// that a green context which was not converted is no context, as documented.
pub(crate) static VIEWS: Table<Green> = Table::new(0x6724);

/// The first driver that has a code for streams which outlived their green context.
const DETACHED_SINCE: i32 = 13010;

/// See the head of this file.
pub(crate) struct Green {
    number: usize,
    view: usize,
    context: Arc<Context>,
    sms: Arc<[u32]>,
    resource: Handle,
    workqueues: Option<Workqueues>,
    default: OnceLock<StreamId>,
    destroyed: AtomicBool,
}

impl Green {
    /// Makes a green context and its default stream, and retains the primary context.
    pub(crate) fn create(device: &Arc<Device>, descriptor: &Descriptor) -> Outcome<Arc<Self>> {
        if descriptor.device != device.ordinal() {
            return Err(Code::INVALID_DEVICE);
        }
        let context = Context::retain_primary(device)?;
        let sms = Arc::clone(&descriptor.sms);
        let resource = RESOURCES.add(SmResource {
            device: descriptor.device,
            sms: Arc::clone(&sms),
            grain: descriptor.grain,
            backfill: descriptor.backfill,
            origin: Origin::Asked,
        });
        let green = Arc::new(Self {
            number: GREENS.reserve(),
            view: VIEWS.reserve(),
            context,
            sms,
            resource,
            workqueues: descriptor.workqueues,
            default: OnceLock::new(),
            destroyed: AtomicBool::new(false),
        });
        GREENS.enter(green.number, Arc::clone(&green));
        green.default_stream();
        Ok(green)
    }

    /// A green context by its handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Self>> {
        let green = GREENS.get(handle).map_err(|_| Code::INVALID_CONTEXT)?;
        green.context.check()?;
        Ok(green)
    }

    /// Ends it. Its streams stay until the program destroys them, and what they hold still runs.
    pub(crate) fn destroy(handle: Handle) -> Outcome {
        let green = GREENS.remove(handle).map_err(|_| Code::INVALID_CONTEXT)?;
        // It may end the primary context as well.
        strict::synchronise_device(Call::Context, green.context.device());
        green.destroyed.store(true, Ordering::Release);
        // Not there where it was never converted.
        let _ = VIEWS.remove(green.view.into());
        if let Some(stream) = green.default.get() {
            SCHEDULE.close(*stream);
        }
        Context::release_primary(green.context.device())
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> Handle {
        self.number.into()
    }

    /// Its number.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The handle that it has as a context.
    pub(crate) fn view(&self) -> Handle {
        self.view.into()
    }

    /// Makes it a context that can be set current.
    pub(crate) fn convert(self: &Arc<Self>) -> Handle {
        VIEWS.enter(self.view, Arc::clone(self));
        self.view.into()
    }

    /// The primary context.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Its SMs.
    pub(crate) fn sms(&self) -> &Arc<[u32]> {
        &self.sms
    }

    /// Its SMs as a resource.
    pub(crate) fn resource(&self) -> Handle {
        self.resource
    }

    /// What was said of its work queues.
    pub(crate) fn workqueues(&self) -> Option<Workqueues> {
        self.workqueues
    }

    /// Its null stream.
    pub(crate) fn default_stream(self: &Arc<Self>) -> StreamId {
        let view = View::from(self);
        *self.default.get_or_init(|| SCHEDULE.open(&view, Manner::Legacy))
    }

    /// Whether it may be used; its context is checked apart.
    pub(crate) fn check(&self) -> Outcome {
        if self.destroyed.load(Ordering::Acquire) {
            return Err(Code::CONTEXT_IS_DESTROYED);
        }
        Ok(())
    }

    /// Whether a stream of it may be used. As documented, the code changed with 13.1.
    pub(crate) fn check_stream(&self) -> Outcome {
        let claim = self.context.device().claim();
        self.check().map_err(|code| {
            if claim.driver_number() < DETACHED_SINCE { code } else { Code::STREAM_DETACHED }
        })
    }
}
