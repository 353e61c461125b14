//! Tables and queues of fixed capacity.

use heapless::{Deque, Vec};

use crate::PacketId;
use crate::storage::sealed::Sealed;
use crate::storage::{Queue, Table};

/// A table of at most `N` entries; looks through them one by one.
#[derive(Debug)]
pub struct FixedTable<T, const N: usize>(Vec<(PacketId, T), N>);

impl<T, const N: usize> Default for FixedTable<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const N: usize> Sealed for FixedTable<T, N> {}

impl<T, const N: usize> FixedTable<T, N> {
    fn position(&self, id: PacketId) -> Option<usize> {
        self.0.iter().position(|(key, _)| *key == id)
    }
}

impl<T, const N: usize> Table<T> for FixedTable<T, N> {
    fn get(&self, id: PacketId) -> Option<&T> {
        self.0.get(self.position(id)?).map(|(_, entry)| entry)
    }

    fn get_mut(&mut self, id: PacketId) -> Option<&mut T> {
        let at = self.position(id)?;
        self.0.get_mut(at).map(|(_, entry)| entry)
    }

    fn insert(&mut self, id: PacketId, entry: T) -> Result<(), T> {
        if self.position(id).is_some() {
            return Err(entry);
        }
        self.0.push((id, entry)).map_err(|(_, entry)| entry)
    }

    fn remove(&mut self, id: PacketId) -> Option<T> {
        let at = self.position(id)?;
        let (_, entry) = self.0.remove(at);
        Some(entry)
    }

    fn front(&self) -> Option<(PacketId, &T)> {
        self.0.first().map(|(id, entry)| (*id, entry))
    }

    fn following(&self, id: PacketId) -> Option<PacketId> {
        let (id, _) = self.0.get(self.position(id)?.saturating_add(1))?;
        Some(*id)
    }

    fn move_to_back(&mut self, id: PacketId) {
        if let Some(rest) = self.position(id).and_then(|at| self.0.get_mut(at..)) {
            rest.rotate_left(1);
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        N
    }
}

/// A queue of at most `N` items.
#[derive(Debug)]
pub(crate) struct FixedQueue<T, const N: usize>(Deque<T, N>);

impl<T, const N: usize> Default for FixedQueue<T, N> {
    fn default() -> Self {
        Self(Deque::new())
    }
}

impl<T, const N: usize> Sealed for FixedQueue<T, N> {}

impl<T, const N: usize> Queue<T> for FixedQueue<T, N> {
    fn push_back(&mut self, item: T) -> Result<(), T> {
        self.0.push_back(item)
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
        self.0.pop_front()
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
        let mut removed = None;
        for place in 0..self.0.len() {
            let item = self.0.pop_front()?;
            if removed.is_none() && place >= start && matches(&item) {
                removed = Some((place, item));
            } else {
                // There is room: an item was taken out just before.
                let _ = self.0.push_back(item);
            }
        }
        removed
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        N
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_keeps_its_order_when_one_in_the_middle_leaves() {
        let mut queue = FixedQueue::<u8, 4>::default();
        for item in 1..=4 {
            queue.push_back(item).unwrap();
        }
        assert_eq!(queue.push_back(5), Err(5));
        assert_eq!(queue.remove_first(|item| *item == 2), Some(2));
        assert_eq!(queue.remove_first(|item| *item == 9), None);
        assert_eq!(queue.remove_from(1, |item| *item == 1), None);
        assert!(queue.iter().eq(&[1, 3, 4]));
        assert_eq!(
            [
                queue.pop_front(),
                queue.pop_front(),
                queue.pop_front(),
                queue.pop_front()
            ],
            [Some(1), Some(3), Some(4), None]
        );
    }
}
