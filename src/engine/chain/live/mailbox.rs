//! What one reader was told and has not read. When there is no more room, the oldest items are let go, and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::engine::error::{Error, Result};
use crate::engine::lock::lock;
use crate::engine::metrics::{Event, Scopes};

/// How many bytes of them are kept, unless one item alone has more.
const MOST_BYTES: usize = 64 << 20;

/// The items of one reader.
pub(super) struct Mailbox {
    most: usize,
    mail: Mutex<Mail>,
    changed: Notify,
    scopes: Arc<Scopes>,
}

#[derive(Default)]
struct Mail {
    items: VecDeque<Bytes>,
    bytes: usize,
    missed: u64,
    /// Items come: somebody tells them.
    is_open: bool,
    /// Why none will come any more.
    failure: Option<Error>,
}

impl Mailbox {
    /// A mailbox with room for `most` items.
    pub(super) fn new(most: usize, scopes: Arc<Scopes>) -> Self {
        Self { most, mail: Mutex::default(), changed: Notify::new(), scopes }
    }

    /// Somebody else tells them.
    pub(super) fn renew(&self) {
        let mut mail = lock(&self.mail);
        (mail.is_open, mail.failure) = (false, None);
    }

    /// From now on items may come.
    pub(super) fn open(&self) {
        lock(&self.mail).is_open = true;
        self.changed.notify_waiters();
    }

    /// None will come any more.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.mail).failure = Some(error);
        self.changed.notify_waiters();
    }

    /// One more item: whether it was the first for which others had to go.
    pub(super) fn put(&self, item: Bytes) -> bool {
        let mut mail = lock(&self.mail);
        mail.bytes += item.len();
        mail.items.push_back(item);
        let mut dropped = 0;
        while mail.items.len() > self.most || (mail.bytes > MOST_BYTES && mail.items.len() > 1) {
            dropped += u64::from(mail.pop().is_some());
        }
        drop(mail);
        self.changed.notify_waiters();
        dropped > 0 && self.miss(dropped)
    }

    /// So many items were let go: whether they are the first.
    pub(super) fn miss(&self, count: u64) -> bool {
        let mut mail = lock(&self.mail);
        let is_first = mail.missed == 0;
        mail.missed += count;
        drop(mail);
        self.scopes.count_all(Event::ItemDropped, count);
        is_first
    }

    /// Whether nothing is here.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.mail).items.is_empty()
    }

    /// How many were.
    pub(super) fn missed(&self) -> u64 {
        lock(&self.mail).missed
    }

    /// Wait until items may come.
    pub(super) async fn opened(&self) -> Result<()> {
        self.when(|mail| mail.is_open.then_some(())).await
    }

    /// The oldest item.
    pub(super) async fn take(&self) -> Result<Bytes> {
        self.when(Mail::pop).await
    }

    /// What `look` finds, when it finds something.
    async fn when<T>(&self, look: impl Fn(&mut Mail) -> Option<T>) -> Result<T> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut mail = lock(&self.mail);
                if let Some(found) = look(&mut mail) {
                    return Ok(found);
                }
                if let Some(error) = mail.failure.clone() {
                    return Err(error);
                }
            }
            changed.await;
        }
    }
}

impl Mail {
    fn pop(&mut self) -> Option<Bytes> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::Kind;

    fn mailbox() -> Mailbox {
        Mailbox::new(2, Arc::new(Scopes::alone(Arc::default())))
    }

    #[tokio::test]
    async fn the_oldest_items_go_when_there_is_no_room() {
        let mailbox = mailbox();
        let firsts: Vec<_> = ["1", "2", "3", "4"].map(|item| mailbox.put(item.into())).into();
        assert_eq!((firsts, mailbox.missed()), (vec![false, false, true, false], 2));
        mailbox.miss(5);
        assert_eq!((mailbox.missed(), mailbox.scopes.own().counted(Event::ItemDropped)), (7, 7));
        assert_eq!(
            (&*mailbox.take().await.unwrap(), &*mailbox.take().await.unwrap()),
            (&b"3"[..], &b"4"[..])
        );
    }

    #[tokio::test]
    async fn the_bytes_that_are_kept_are_bounded_too_but_one_item_always_fits() {
        let mailbox = Mailbox::new(100, Arc::new(Scopes::alone(Arc::default())));
        let quarter = Bytes::from(vec![b'1'; MOST_BYTES / 4]);
        for _ in 0..4 {
            assert!(!mailbox.put(quarter.clone()));
        }
        assert!(mailbox.put(Bytes::from(vec![b'2'; MOST_BYTES / 2])));
        assert_eq!((mailbox.missed(), mailbox.scopes.own().counted(Event::ItemDropped)), (2, 2));
        let large = Bytes::from(vec![b'3'; MOST_BYTES + 1]);
        mailbox.put(large.clone());
        assert_eq!((mailbox.missed(), mailbox.take().await.unwrap()), (5, large));
        // What was taken makes room.
        for _ in 0..4 {
            mailbox.put(quarter.clone());
        }
        assert_eq!(mailbox.missed(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_an_item_and_of_the_end() {
        let mailbox = mailbox();
        let (item, ()) = tokio::join!(mailbox.take(), async { assert!(!mailbox.put("1".into())) });
        assert_eq!(&*item.unwrap(), b"1");
        mailbox.put("2".into());
        mailbox.fail(Error::new(Kind::Rpc, "over"));
        // What came before the end is read first.
        assert_eq!(&*mailbox.take().await.unwrap(), b"2");
        assert_eq!(mailbox.take().await.unwrap_err().kind(), Kind::Rpc);
    }
}
