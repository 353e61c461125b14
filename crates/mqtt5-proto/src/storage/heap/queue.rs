//! A queue that grows.

use alloc::collections::VecDeque;

use crate::storage::Queue;
use crate::storage::sealed::Sealed;

/// Room for more than so many items is given back when there is none.
const KEEP: usize = 64;

/// First in, first out, without a bound of its own.
#[derive(Debug)]
pub(crate) struct HeapQueue<T>(VecDeque<T>);

impl<T> Default for HeapQueue<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Sealed for HeapQueue<T> {}

impl<T> Queue<T> for HeapQueue<T> {
    fn push_back(&mut self, item: T) -> Result<(), T> {
        self.0.push_back(item);
        Ok(())
    }

    fn front(&self) -> Option<&T> {
        self.0.front()
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.0.get_mut(index)
    }

    fn pop_front(&mut self) -> Option<T> {
        let item = self.0.pop_front();
        if self.0.is_empty() && self.0.capacity() > KEEP {
            self.0 = VecDeque::new();
        }
        item
    }

    fn any(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.0.iter().any(matches)
    }

    fn iter<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a,
    {
        self.0.iter()
    }

    fn remove_from(&mut self, start: usize, matches: impl Fn(&T) -> bool) -> Option<(usize, T)> {
        let place = self.0.iter().skip(start).position(matches)?;
        let place = start.saturating_add(place);
        self.0.remove(place).map(|item| (place, item))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        usize::MAX
    }
}
