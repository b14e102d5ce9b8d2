//! Buckets: where requests of like length wait together.

use crate::function::FunctionSpec;
use crate::id::{BucketId, FunctionId};
use crate::list::List;

/// One bucket of one function.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) function: FunctionId,
    pub(crate) length_max: u32,
    /// Its requests, oldest first.
    pub(crate) waiting: List,
}

/// The buckets of all functions, in one table; a function's stand together, by ascending length.
#[derive(Debug)]
pub(crate) struct Buckets {
    table: Box<[Bucket]>,
    /// Each function's first bucket; one more entry than functions.
    starts: Box<[u32]>,
}

impl Buckets {
    pub(crate) fn new(functions: &[FunctionSpec]) -> Self {
        let mut table = Vec::new();
        let mut starts = vec![0];
        for (index, spec) in (0u16..).zip(functions) {
            assert!(spec.buckets.is_sorted() && !spec.buckets.is_empty(), "ascending lengths");
            assert!(spec.max_batch > 0, "a batch holds at least one request");
            table.extend(spec.buckets.iter().map(|length| Bucket {
                function: FunctionId(index),
                length_max: *length,
                waiting: List::EMPTY,
            }));
            starts.push(u32::try_from(table.len()).expect("far fewer buckets than 2^32"));
        }
        Self { table: table.into_boxed_slice(), starts: starts.into_boxed_slice() }
    }

    pub(crate) fn count(&self) -> u32 {
        self.starts[self.starts.len() - 1]
    }

    /// The buckets of a function.
    pub(crate) fn all_of(&self, function: FunctionId) -> impl Iterator<Item = BucketId> + use<> {
        (self.starts[function.index()]..self.starts[function.index() + 1]).map(BucketId)
    }

    /// The bucket for a length: the first that reaches it.
    ///
    /// # Panics
    /// When the length is above the function's last bucket: the caller checked it.
    pub(crate) fn of(&self, function: FunctionId, length: u32) -> BucketId {
        let start = self.starts[function.index()];
        let own = &self.table[start as usize..self.starts[function.index() + 1] as usize];
        let place = own.partition_point(|bucket| bucket.length_max < length);
        assert!(place < own.len(), "lengths above the limit are refused before they arrive");
        BucketId(start + u32::try_from(place).expect("fewer than there are buckets"))
    }

    pub(crate) fn get(&self, bucket: BucketId) -> &Bucket {
        &self.table[bucket.index()]
    }

    pub(crate) fn get_mut(&mut self, bucket: BucketId) -> &mut Bucket {
        &mut self.table[bucket.index()]
    }
}
