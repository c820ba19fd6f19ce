//! Which claims may have a row, in memory: nearly every delivery id is new, and a look
//! into a large tree for what is not there is the dearest way to find that out.
//!
//! A Bloom filter: it says "maybe" of a few keys without a row, and never "no" of one
//! that has a row. Rows that were removed stay in it until it is made anew.

use fastbloom::BloomFilter;
use rusqlite::Connection;

use crate::claims::Key;

/// Keys that the smallest filter has room for.
const LEAST_ROOM: u64 = 1 << 20;
/// With 8 bits to a key and 5 hashes, one key in fifty is a "maybe" for nothing when
/// the filter is full.
const BITS: u64 = 8;
const HASHES: u32 = 5;
/// Rows that one step reads: a few milliseconds.
const STEP: u32 = 10_000;

/// The keys of all rows, and perhaps more.
pub(crate) struct Known {
    filter: BloomFilter,
    room: u64,
}

/// A filter that does not know every row yet.
pub(crate) struct Filling {
    known: Known,
    /// Rows up to this key were read; the first rows come next when there is none.
    read: Option<Key>,
}

impl Known {
    fn with_room(keys: u64) -> Self {
        let bits = usize::try_from(keys * BITS).unwrap_or(usize::MAX);
        Self { filter: BloomFilter::with_num_bits(bits).seed(&0).hashes(HASHES), room: keys }
    }

    pub(crate) fn insert(&mut self, key: &Key) {
        self.filter.insert_hash(short(key));
        self.room = self.room.saturating_sub(1);
    }

    pub(crate) fn may_have(&self, key: &Key) -> bool {
        self.filter.contains_hash(short(key))
    }

    /// Whether "maybe" becomes the answer too often.
    pub(crate) fn is_full(&self) -> bool {
        self.room == 0
    }
}

impl Filling {
    /// A filter with room for twice the rows that there are.
    pub(crate) fn begin(rows: &Connection) -> rusqlite::Result<Self> {
        let count: i64 = rows.query_row("select count(*) from claim", [], |row| row.get(0))?;
        let room = u64::try_from(count).unwrap_or(0).saturating_mul(2).max(LEAST_ROOM);
        Ok(Self { known: Known::with_room(room), read: None })
    }

    /// A row was written. Whether the steps come by it or have done so does not matter.
    pub(crate) fn insert(&mut self, key: &Key) {
        self.known.insert(key);
    }

    /// Reads some more rows; the filter, once it knows all.
    pub(crate) fn step(mut self, rows: &Connection) -> rusqlite::Result<Result<Known, Self>> {
        let after = self.read.as_ref().map_or(&[][..], |key| key);
        let mut statement =
            rows.prepare_cached("select key from claim where key > ?1 order by key limit ?2")?;
        let mut keys = statement.query_map((after, STEP), |row| row.get::<_, Key>(0))?;
        let mut last = None;
        while let Some(key) = keys.next().transpose()? {
            self.known.insert(&key);
            last = Some(key);
        }
        let Some(last) = last else { return Ok(Ok(self.known)) };
        self.read = Some(last);
        Ok(Err(self))
    }
}

/// Keys are the beginning of a digest, so any part of one is a hash.
fn short(key: &Key) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::hash;

    fn rows(count: u32) -> Connection {
        let rows = Connection::open_in_memory().unwrap();
        rows.execute_batch("create table claim (key blob primary key) without rowid").unwrap();
        for n in 0..count {
            rows.execute("insert into claim values (?1)", [hash(&n.to_string())]).unwrap();
        }
        rows
    }

    fn filled(rows: &Connection) -> Known {
        let mut filling = Filling::begin(rows).unwrap();
        loop {
            match filling.step(rows).unwrap() {
                Ok(known) => return known,
                Err(more) => filling = more,
            }
        }
    }

    #[test]
    fn every_row_is_known_and_hardly_anything_else() {
        let known = filled(&rows(STEP + 5));
        assert!((0..STEP + 5).all(|n| known.may_have(&hash(&n.to_string()))));
        let wrong = (0..10_000).filter(|n| known.may_have(&hash(&format!("other {n}")))).count();
        assert!(wrong < 100, "{wrong}");
    }

    #[test]
    fn rows_that_are_written_meanwhile_are_known_wherever_they_sort() {
        let rows = rows(STEP + 5);
        let Err(mut filling) = Filling::begin(&rows).unwrap().step(&rows).unwrap() else { panic!() };
        for n in 0..100 {
            let key = hash(&format!("late {n}"));
            rows.execute("insert into claim values (?1)", [key]).unwrap();
            filling.insert(&key);
        }
        let known = loop {
            match filling.step(&rows).unwrap() {
                Ok(known) => break known,
                Err(more) => filling = more,
            }
        };
        assert!((0..100).all(|n| known.may_have(&hash(&format!("late {n}")))));
        assert!((0..STEP + 5).all(|n| known.may_have(&hash(&n.to_string()))));
    }

    #[test]
    fn it_says_when_it_is_full() {
        let mut known = Known::with_room(2);
        known.insert(&hash("1"));
        assert!(!known.is_full());
        known.insert(&hash("2"));
        assert!(known.is_full());
    }
}
