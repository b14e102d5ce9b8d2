//! Dimensions that can be walked as one: fewer of them cost a kernel fewer divisions.

/// The same elements in the same order, with as few dimensions as possible but at least one. `views`
/// are the strides of each operand along each extent.
pub(crate) fn coalesce(extents: &[u64], views: &[&[u64]]) -> (Vec<u64>, Vec<Vec<u64>>) {
    let mut merged: Vec<u64> = Vec::new();
    let mut strides: Vec<Vec<u64>> = vec![Vec::new(); views.len()];
    for (axis, &extent) in extents.iter().enumerate() {
        if extent == 1 {
            continue;
        }
        let joins = !merged.is_empty()
            && views.iter().zip(&strides).all(|(view, strides)| {
                // The last stride so far is one step of this whole dimension.
                strides.last() == view[axis].checked_mul(extent).as_ref()
            });
        if joins {
            *merged.last_mut().expect("there is one to join") *= extent;
        } else {
            merged.push(extent);
        }
        for (view, strides) in views.iter().zip(&mut strides) {
            if joins {
                strides.pop();
            }
            strides.push(view[axis]);
        }
    }
    if merged.is_empty() {
        merged.push(1);
        strides.iter_mut().for_each(|strides| strides.push(0));
    }
    (merged, strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(extents: &[u64], views: &[&[u64]], merged: &[u64], strides: &[&[u64]]) {
        let found = coalesce(extents, views);
        assert_eq!(found.0, merged);
        assert_eq!(found.1, strides);
    }

    #[test]
    fn a_dense_tensor_is_one_dimension() {
        check(&[2, 3, 4], &[&[12, 4, 1], &[12, 4, 1]], &[24], &[&[1], &[1]]);
        check(&[2, 1, 4], &[&[4, 77, 1]], &[8], &[&[1]]);
    }

    #[test]
    fn a_dimension_that_one_operand_walks_otherwise_stays() {
        check(&[2, 3, 4], &[&[12, 4, 1], &[0, 4, 1]], &[2, 12], &[&[12, 1], &[0, 1]]);
        check(&[2, 3], &[&[3, 1], &[1, 2]], &[2, 3], &[&[3, 1], &[1, 2]]);
    }

    #[test]
    fn one_element_has_a_dimension() {
        check(&[1, 1], &[&[5, 5]], &[1], &[&[0]]);
        check(&[], &[], &[1], &[]);
    }
}
