//! Which vectors lie close to which, by the cosine of the angle between them.

/// Vectors of length 1.
#[derive(Clone, Debug)]
pub struct Neighbours {
    units: Vec<Vec<f32>>,
}

impl Neighbours {
    /// Of vectors of one dimension. One without a direction has no neighbours: its cosine is 0.
    pub fn new(vectors: Vec<Vec<f32>>) -> Self {
        let mut units = vectors;
        for vector in &mut units {
            let length = dot(vector, vector).sqrt();
            if length > 0.0 {
                vector.iter_mut().for_each(|value| *value /= length);
            }
        }
        Self { units }
    }

    /// The `count` closest to the vector at `index`, itself excluded, closest first, with the
    /// cosine of each.
    pub fn of(&self, index: usize, count: usize) -> Vec<(usize, f32)> {
        let own = &self.units[index];
        let others = self.units.iter().enumerate().filter(|(other, _)| *other != index);
        let mut cosines: Vec<(usize, f32)> =
            others.map(|(other, unit)| (other, dot(own, unit))).collect();
        cosines.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        cosines.truncate(count);
        cosines
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_direction_comes_first_whatever_its_length() {
        let vectors =
            vec![vec![1.0, 0.0], vec![0.0, 3.0], vec![9.0, 1.0], vec![-1.0, 0.0], vec![0.0, 0.0]];
        let found = Neighbours::new(vectors).of(0, 3);
        assert_eq!(found.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [2, 1, 4]);
        assert!(found[0].1 > 0.99 && found[1].1.abs() < 1e-6);
    }

    #[test]
    fn there_are_no_more_neighbours_than_vectors() {
        assert!(Neighbours::new(vec![vec![1.0]]).of(0, 3).is_empty());
    }
}
