//! Doubly linked lists threaded through one array of links: an element leaves from the middle in
//! constant time, and nothing is ever allocated. An element is in one list at a time.

/// No element.
const NONE: u32 = u32::MAX;

/// One element's neighbours.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

/// The links of all elements that may stand in lists of one kind.
#[derive(Debug)]
pub(crate) struct Links(Box<[Link]>);

/// One list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl Links {
    pub(crate) fn new(elements: u32) -> Self {
        assert!(elements < NONE, "one number means `none`");
        let alone = Link { previous: NONE, next: NONE };
        Self(vec![alone; elements as usize].into_boxed_slice())
    }

    /// The element after `element` in its list.
    pub(crate) fn next(&self, element: u32) -> Option<u32> {
        some(self.0[element as usize].next)
    }

    fn at(&mut self, element: u32) -> &mut Link {
        &mut self.0[element as usize]
    }
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE, len: 0 };

    pub(crate) fn first(&self) -> Option<u32> {
        some(self.first)
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn push_back(&mut self, links: &mut Links, element: u32) {
        *links.at(element) = Link { previous: self.last, next: NONE };
        match some(self.last) {
            Some(last) => links.at(last).next = element,
            None => self.first = element,
        }
        self.last = element;
        self.len += 1;
    }

    /// Takes out an element that stands in this list.
    pub(crate) fn remove(&mut self, links: &mut Links, element: u32) {
        let Link { previous, next } = *links.at(element);
        match some(previous) {
            Some(previous) => links.at(previous).next = next,
            None => self.first = next,
        }
        match some(next) {
            Some(next) => links.at(next).previous = previous,
            None => self.last = previous,
        }
        self.len -= 1;
    }
}

fn some(element: u32) -> Option<u32> {
    (element != NONE).then_some(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(list: &List, links: &Links) -> Vec<u32> {
        std::iter::successors(list.first(), |element| links.next(*element)).collect()
    }

    #[test]
    fn elements_leave_from_anywhere_in_order() {
        for leaver in 0..4 {
            let mut links = Links::new(4);
            let mut list = List::EMPTY;
            for element in 0..4 {
                list.push_back(&mut links, element);
            }
            list.remove(&mut links, leaver);
            let expected: Vec<u32> = (0..4).filter(|element| *element != leaver).collect();
            assert_eq!(elements(&list, &links), expected);
            list.push_back(&mut links, leaver);
            assert_eq!(elements(&list, &links).last(), Some(&leaver));
            assert_eq!(list.len(), 4);
        }
    }
}
