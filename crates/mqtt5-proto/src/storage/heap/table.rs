//! A table by Packet Identifier with constant-time access at any size.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::PacketId;
use crate::storage::Table;
use crate::storage::sealed::Sealed;

const PAGE: usize = 256;
const NONE: u32 = u32::MAX;

/// A table by Packet Identifier that keeps the order of insertion: a slab of entries in a doubly linked list, and an
/// index of pages that exist only where there are entries.
#[derive(Debug)]
pub struct HeapTable<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    oldest: u32,
    newest: u32,
    len: usize,
    pages: Vec<Option<Box<Page>>>,
    /// The last page that became empty, so that identifiers that go round allocate nothing.
    spare: Option<Box<Page>>,
}

#[derive(Debug)]
struct Slot<T> {
    entry: Option<(PacketId, T)>,
    previous: u32,
    next: u32,
}

#[derive(Debug)]
struct Page {
    slots: [u32; PAGE],
    used: u16,
}

impl Page {
    const EMPTY: Self = Self {
        slots: [NONE; PAGE],
        used: 0,
    };
}

impl<T> Default for HeapTable<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            len: 0,
            pages: Vec::new(),
            spare: None,
        }
    }
}

impl<T> Sealed for HeapTable<T> {}

const fn position(id: PacketId) -> (usize, usize) {
    let id = id.value() as usize;
    (id >> 8, id & (PAGE - 1))
}

impl<T> HeapTable<T> {
    fn lookup(&self, id: PacketId) -> Option<u32> {
        let (page, at) = position(id);
        let slot = *self.pages.get(page)?.as_ref()?.slots.get(at)?;
        (slot != NONE).then_some(slot)
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.slots.get(index as usize)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(index as usize)
    }

    fn set_index(&mut self, id: PacketId, slot: u32) {
        let (page, at) = position(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page.saturating_add(1), || None);
        }
        let Some(place) = self.pages.get_mut(page) else {
            return;
        };
        let spare = &mut self.spare;
        let page =
            place.get_or_insert_with(|| spare.take().unwrap_or_else(|| Box::new(Page::EMPTY)));
        if let Some(entry) = page.slots.get_mut(at) {
            *entry = slot;
        }
        page.used = page.used.saturating_add(1);
    }

    fn clear_index(&mut self, id: PacketId) {
        let (page, at) = position(id);
        let Some(place) = self.pages.get_mut(page) else {
            return;
        };
        let Some(page) = place else { return };
        if let Some(entry) = page.slots.get_mut(at) {
            *entry = NONE;
        }
        page.used = page.used.saturating_sub(1);
        if page.used == 0 {
            self.spare = place.take();
        }
    }

    /// A slot for a new entry, taken from the free ones if there are any.
    fn take_slot(&mut self, slot: Slot<T>) -> u32 {
        let index = self.free;
        if let Some(free) = self.slot_mut(index) {
            let next = free.next;
            *free = slot;
            self.free = next;
            return index;
        }
        self.slots.push(slot);
        self.slots.len().saturating_sub(1) as u32
    }

    /// Makes `from` and `to` neighbours; [`NONE`] stands for the ends of the list.
    fn link(&mut self, from: u32, to: u32) {
        match self.slot_mut(from) {
            Some(slot) => slot.next = to,
            None => self.oldest = to,
        }
        match self.slot_mut(to) {
            Some(slot) => slot.previous = from,
            None => self.newest = from,
        }
    }
}

impl<T> Table<T> for HeapTable<T> {
    fn get(&self, id: PacketId) -> Option<&T> {
        let slot = self.slot(self.lookup(id)?)?;
        slot.entry.as_ref().map(|(_, entry)| entry)
    }

    fn get_mut(&mut self, id: PacketId) -> Option<&mut T> {
        let index = self.lookup(id)?;
        let slot = self.slot_mut(index)?;
        slot.entry.as_mut().map(|(_, entry)| entry)
    }

    fn insert(&mut self, id: PacketId, entry: T) -> Result<(), T> {
        if self.lookup(id).is_some() {
            return Err(entry);
        }
        let index = self.take_slot(Slot {
            entry: Some((id, entry)),
            previous: NONE,
            next: NONE,
        });
        let newest = self.newest;
        self.link(newest, index);
        self.link(index, NONE);
        self.set_index(id, index);
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    fn remove(&mut self, id: PacketId) -> Option<T> {
        let index = self.lookup(id)?;
        let free = self.free;
        let slot = self.slot_mut(index)?;
        let (previous, next) = (slot.previous, slot.next);
        let (_, entry) = slot.entry.take()?;
        slot.next = free;
        self.free = index;
        self.link(previous, next);
        self.clear_index(id);
        self.len = self.len.saturating_sub(1);
        if self.len == 0 {
            self.slots.clear();
            self.slots.shrink_to(64);
            self.free = NONE;
        }
        Some(entry)
    }

    fn front(&self) -> Option<(PacketId, &T)> {
        let slot = self.slot(self.oldest)?;
        slot.entry.as_ref().map(|(id, entry)| (*id, entry))
    }

    fn following(&self, id: PacketId) -> Option<PacketId> {
        let next = self.slot(self.lookup(id)?)?.next;
        let (id, _) = self.slot(next)?.entry.as_ref()?;
        Some(*id)
    }

    fn move_to_back(&mut self, id: PacketId) {
        let Some(index) = self.lookup(id) else { return };
        let Some(slot) = self.slot(index) else { return };
        let (previous, next) = (slot.previous, slot.next);
        if next != NONE {
            self.link(previous, next);
            let newest = self.newest;
            self.link(newest, index);
            self.link(index, NONE);
        }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn capacity(&self) -> usize {
        usize::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn agrees_with_a_list_under_random_use() {
        let mut table = HeapTable::default();
        let mut model: VecDeque<(u16, u32)> = VecDeque::new();
        let mut random = 1_u32;
        for step in 0..200_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id =
                PacketId::new((random >> 16) as u16 % 700 + 1 + (step / 50_000 * 20_000) as u16);
            let id = id.unwrap();
            if step % 5 == 0 {
                table.move_to_back(id);
                if let Some(at) = model.iter().position(|(k, _)| *k == id.value()) {
                    let entry = model.remove(at).unwrap();
                    model.push_back(entry);
                }
            }
            match random >> 8 & 3 {
                0 | 1 => {
                    let taken = model.iter().any(|(k, _)| *k == id.value());
                    assert_eq!(table.insert(id, step).is_err(), taken);
                    if !taken {
                        model.push_back((id.value(), step));
                    }
                }
                2 => {
                    let at = model.iter().position(|(k, _)| *k == id.value());
                    let expected = at.and_then(|at| model.remove(at)).map(|(_, v)| v);
                    assert_eq!(table.remove(id), expected);
                }
                _ => {
                    let expected = model.pop_front();
                    assert_eq!(table.pop_front().map(|(id, v)| (id.value(), v)), expected);
                }
            }
            assert_eq!(table.len(), model.len());
            let next = table.following(id).map(PacketId::value);
            let at = model.iter().position(|(k, _)| *k == id.value());
            assert_eq!(next, at.and_then(|at| model.get(at + 1)).map(|(k, _)| *k));
            assert_eq!(
                table.front().map(|(id, v)| (id.value(), *v)),
                model.front().copied()
            );
        }
    }

    #[test]
    fn holds_every_identifier() {
        let mut table = HeapTable::default();
        for id in 1..=u16::MAX {
            table.insert(PacketId::new(id).unwrap(), id).unwrap();
        }
        assert_eq!(table.len(), 65_535);
        for id in (1..=u16::MAX).rev() {
            assert_eq!(table.remove(PacketId::new(id).unwrap()), Some(id));
        }
        assert!(table.front().is_none());
        assert!(table.pages.iter().all(Option::is_none));
    }
}
