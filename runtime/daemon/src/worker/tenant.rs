//! What a tenant has in this worker, and what it is held to. The control thread sets the limits; the
//! dispatch thread alone counts.

use crate::link::TenantLimits;
use crate::pace::Pace;
use gpumux_core::MonoTime;
use gpumux_wire::outcome::{Reason, Refusal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How much of its rate a tenant may use at once.
const BURST: Duration = Duration::from_secs(1);

/// One tenant, shared by its channels.
#[derive(Debug)]
pub(super) struct Tenant {
    name: String,
    /// Where it is counted.
    pub(super) place: usize,
    queue_max: AtomicU32,
    requests_per_s: AtomicU32,
    /// Requests that wait or run.
    open: AtomicU32,
    /// What its pace remembers, in nanoseconds.
    paced: AtomicU64,
}

impl Tenant {
    fn new(place: usize, limits: TenantLimits) -> Self {
        Self {
            place,
            name: limits.tenant,
            queue_max: AtomicU32::new(limits.queue_max),
            requests_per_s: AtomicU32::new(limits.requests_per_s),
            open: AtomicU32::new(0),
            paced: AtomicU64::new(0),
        }
    }

    fn limit(&self, limits: &TenantLimits) {
        self.queue_max.store(limits.queue_max, Ordering::Relaxed);
        self.requests_per_s.store(limits.requests_per_s, Ordering::Relaxed);
    }

    /// Whether one more request of it is taken now.
    ///
    /// # Errors
    /// Which limit is in the way.
    pub(super) fn take(&self, now: MonoTime) -> Result<(), Refusal> {
        let queue_max = self.queue_max.load(Ordering::Relaxed);
        if self.open.load(Ordering::Relaxed) >= queue_max {
            let refusal = Refusal::because(Reason::TenantQueueFull);
            return Err(Refusal { limit: u64::from(queue_max), ..refusal });
        }
        let rate = self.requests_per_s.load(Ordering::Relaxed);
        if rate == 0 {
            return Ok(());
        }
        let pace = Pace { interval: Duration::from_secs(1) / rate, burst: BURST };
        let remembered = MonoTime::from_nanos(self.paced.load(Ordering::Relaxed));
        match pace.take(remembered, now) {
            Ok(remembered) => {
                self.paced.store(remembered.as_nanos(), Ordering::Relaxed);
                Ok(())
            }
            Err(wait) => Err(Refusal {
                limit: u64::from(rate),
                retry_after_us: u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(1),
                ..Refusal::because(Reason::RateLimited)
            }),
        }
    }

    /// A request of it is open.
    pub(super) fn opened(&self) {
        // One thread writes, so a load and a store lose nothing.
        self.open.store(self.open.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// A request of it has ended.
    pub(super) fn ended(&self) {
        self.open.store(self.open.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }
}

/// The tenants that have had a channel here.
#[derive(Debug, Default)]
pub(super) struct Tenants(Vec<Arc<Tenant>>);

impl Tenants {
    /// The tenant of a channel, held to these limits.
    pub(super) fn of(&mut self, limits: TenantLimits) -> Arc<Tenant> {
        match self.get(&limits.tenant) {
            Some(tenant) => {
                tenant.limit(&limits);
                Arc::clone(tenant)
            }
            None => {
                let tenant = Arc::new(Tenant::new(self.0.len(), limits));
                self.0.push(Arc::clone(&tenant));
                tenant
            }
        }
    }

    /// Holds a tenant to other limits, if it is here.
    pub(super) fn limit(&self, limits: &TenantLimits) {
        self.get(&limits.tenant).into_iter().for_each(|tenant| tenant.limit(limits));
    }

    /// Their names, by the place at which each is counted.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|tenant| tenant.name.clone()).collect()
    }

    fn get(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.0.iter().find(|tenant| tenant.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_held_to_its_queue_and_its_rate() {
        let mut tenants = Tenants::default();
        let limits = |queue_max, requests_per_s| TenantLimits {
            tenant: "shop".to_owned(),
            queue_max,
            requests_per_s,
        };
        let tenant = tenants.of(limits(2, 0));
        let now = MonoTime::from_nanos(1 << 40);
        for _ in 0..2 {
            tenant.take(now).unwrap();
            tenant.opened();
        }
        assert_eq!(
            tenant.take(now).map_err(|it| (it.reason, it.limit)),
            Err((Reason::TenantQueueFull, 2))
        );
        tenant.ended();
        tenants.limit(&limits(2, 4));
        assert_eq!((0..9).filter(|_| tenant.take(now).is_ok()).count(), 4);
        let refused = tenant.take(now).unwrap_err();
        assert_eq!(
            (refused.reason, refused.limit, refused.retry_after_us),
            (Reason::RateLimited, 4, 250_000)
        );
        assert!(tenant.take(now.after(Duration::from_micros(refused.retry_after_us))).is_ok());
        assert!(Arc::ptr_eq(&tenant, &tenants.of(limits(9, 0))));
    }
}
