//! A table whose keys go stale: a key never finds the value that came after its own.

/// A place in a [`Slab`] together with the generation of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A number that no other value of the same slab has, until 2³² values came and went.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation)
    }
}

/// Values in reused places: insertion and removal cost O(1) and, once the table has grown, no allocation.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Option<u32>,
    len: usize,
    generation: u32,
}

#[derive(Debug)]
enum Entry<T> {
    Vacant { next: Option<u32> },
    Occupied { generation: u32, value: T },
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: None,
            len: 0,
            generation: 0,
        }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = Entry::Occupied { generation, value };
        self.len += 1;
        let index = match self.free {
            Some(index) => {
                let place = &mut self.entries[index as usize];
                if let Entry::Vacant { next } = *place {
                    self.free = next;
                }
                *place = entry;
                index
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer entries than bytes in memory")
            }
        };
        Key { index, generation }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.index as usize)? {
            Entry::Occupied { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize)? {
            Entry::Occupied { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let vacant = Entry::Vacant { next: self.free };
        let removed = core::mem::replace(&mut self.entries[key.index as usize], vacant);
        self.free = Some(key.index);
        self.len -= 1;
        if self.len == 0 && self.entries.len() > KEPT_WHEN_EMPTY {
            self.entries = Vec::new();
            self.free = None;
        }
        match removed {
            Entry::Occupied { value, .. } => Some(value),
            Entry::Vacant { .. } => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| match entry {
                Entry::Occupied { generation, value } => Some((
                    Key {
                        index: u32::try_from(index).ok()?,
                        generation: *generation,
                    },
                    value,
                )),
                Entry::Vacant { .. } => None,
            })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.entries
            .iter_mut()
            .enumerate()
            .filter_map(|(index, entry)| match entry {
                Entry::Occupied { generation, value } => Some((
                    Key {
                        index: u32::try_from(index).ok()?,
                        generation: *generation,
                    },
                    value,
                )),
                Entry::Vacant { .. } => None,
            })
    }
}

/// A table that was larger than this gives its memory back when it is empty.
const KEPT_WHEN_EMPTY: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_stale() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn memory_of_a_burst_is_given_back_and_old_keys_stay_stale() {
        let mut slab = Slab::default();
        let keys: Vec<_> = (0..2 * KEPT_WHEN_EMPTY).map(|i| slab.insert(i)).collect();
        assert_eq!(
            keys.iter().filter_map(|key| slab.remove(*key)).count(),
            2 * KEPT_WHEN_EMPTY
        );
        assert_eq!(slab.entries.capacity(), 0);
        let key = slab.insert(7);
        assert!(slab.get(keys[0]).is_none() && slab.get(key) == Some(&7));
    }
}
