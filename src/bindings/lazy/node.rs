//! A container of a checked JSON text: where its members stand, found when they are first asked for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use crate::bindings::bridge::lock;
use crate::bindings::json_in::{Cursor, MAX_DEPTH, NotJson, unescape};

/// A container, and what is known of it.
pub struct Node {
    text: Bytes,
    depth: usize,
    /// The long ones among the members that are containers, if whoever passed over this one has seen them.
    seen: Vec<Range<usize>>,
    /// The members, and what was seen in them.
    index: OnceLock<(Index, Vec<Range<usize>>)>,
    /// The containers in it that were touched, by where they begin: each is looked through once.
    children: Mutex<HashMap<usize, Arc<Node>>>,
}

/// Where the members of a container stand.
pub enum Index {
    Sequence(Vec<Range<usize>>),
    Mapping(Members),
}

/// The members of an object, in order.
#[derive(Default)]
pub struct Members {
    places: HashMap<Bytes, usize>,
    members: Vec<(Bytes, Range<usize>)>,
}

/// Why a container is not shown.
#[derive(Debug)]
pub enum Refusal {
    /// It is nested deeper than anything that would be decoded.
    TooDeep,
    /// Its text is none, which does not happen to one that was checked.
    NotJson,
}

impl From<NotJson> for Refusal {
    fn from(_: NotJson) -> Self {
        Self::NotJson
    }
}

impl Node {
    /// The outermost container.
    pub fn root(text: Bytes) -> Self {
        Self::at_depth(text, 1, Vec::new())
    }

    fn at_depth(text: Bytes, depth: usize, seen: Vec<Range<usize>>) -> Self {
        Self { text, depth, seen, index: OnceLock::new(), children: Mutex::default() }
    }

    /// Its text.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// A part of its text, which keeps all of it alive.
    pub fn part(&self, at: &Range<usize>) -> Bytes {
        self.text.slice(at.clone())
    }

    /// Whether it is an object.
    pub fn is_mapping(&self) -> bool {
        Cursor { text: &self.text, at: 0 }.after_space() == Some(b'{')
    }

    /// Its members. Two threads may look for them at the same time; they find the same.
    pub fn index(&self) -> Result<&Index, Refusal> {
        if let Some((index, _)) = self.index.get() {
            return Ok(index);
        }
        let mut reader = Reader { node: self, cursor: Cursor { text: &self.text, at: 0 }, seen: Vec::new() };
        let index = match reader.cursor.token()? {
            b'{' => Index::Mapping(reader.members()?),
            _ => Index::Sequence(reader.items()?),
        };
        let seen = reader.seen;
        Ok(&self.index.get_or_init(|| (index, seen)).0)
    }

    /// What was seen in a member.
    fn seen_in(&self, at: &Range<usize>) -> Vec<Range<usize>> {
        let Some((_, seen)) = self.index.get() else { return Vec::new() };
        let from = seen.partition_point(|item| item.start < at.start);
        let inside = seen.iter().skip(from).take_while(|item| item.end <= at.end);
        inside.map(|item| item.start - at.start..item.end - at.start).collect()
    }

    /// The container that stands there, if it is one.
    pub fn child(&self, at: &Range<usize>) -> Result<Option<Arc<Self>>, Refusal> {
        if !matches!(self.text.get(at.start), Some(b'{' | b'[')) {
            return Ok(None);
        }
        if self.depth == MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        let child = || Arc::new(Self::at_depth(self.part(at), self.depth + 1, self.seen_in(at)));
        Ok(Some(Arc::clone(lock(&self.children).entry(at.start).or_insert_with(child))))
    }
}

/// Looks through a container.
struct Reader<'a> {
    node: &'a Node,
    cursor: Cursor<'a>,
    seen: Vec<Range<usize>>,
}

impl Reader<'_> {
    fn members(&mut self) -> Result<Members, NotJson> {
        let mut members = Members::default();
        let mut next = self.cursor.token()?;
        while next == b'"' {
            let start = self.cursor.at;
            let raw = self.cursor.string()?;
            let key = if raw.plain {
                self.node.text.slice(start..start + raw.text.len())
            } else {
                Bytes::from(unescape(raw.text).ok_or(NotJson)?)
            };
            self.cursor.expect(b':')?;
            members.put(key, self.value()?);
            match self.cursor.token()? {
                b',' => next = self.cursor.token()?,
                b'}' => return Ok(members),
                _ => return Err(NotJson),
            }
        }
        if next == b'}' { Ok(members) } else { Err(NotJson) }
    }

    fn items(&mut self) -> Result<Vec<Range<usize>>, NotJson> {
        let mut items = Vec::new();
        if self.cursor.after_space() == Some(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value()?);
            match self.cursor.token()? {
                b',' => {}
                b']' => return Ok(items),
                _ => return Err(NotJson),
            }
        }
    }

    /// Passes over a value, at once if it was seen before.
    fn value(&mut self) -> Result<Range<usize>, NotJson> {
        self.cursor.after_space();
        let seen = &self.node.seen;
        let Ok(place) = seen.binary_search_by_key(&self.cursor.at, |item| item.start) else {
            return self.cursor.skip(&mut self.seen);
        };
        let item = seen.get(place).ok_or(NotJson)?.clone();
        self.cursor.at = item.end;
        Ok(item)
    }
}

impl Members {
    /// Adds a member. As in a dict, a key that was there keeps its place and gets the new value.
    fn put(&mut self, key: Bytes, value: Range<usize>) {
        match self.places.entry(key.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.members.len());
                self.members.push((key, value));
            }
            Entry::Occupied(occupied) => {
                if let Some(member) = self.members.get_mut(*occupied.get()) {
                    member.1 = value;
                }
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Where the value of this key stands.
    pub fn find(&self, key: &[u8]) -> Option<&Range<usize>> {
        self.places.get(key).and_then(|place| self.members.get(*place)).map(|(_, value)| value)
    }

    /// The keys in order: in UTF-8, where a lone surrogate has three bytes.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Bytes> {
        self.members.iter().map(|(key, _)| key)
    }
}
