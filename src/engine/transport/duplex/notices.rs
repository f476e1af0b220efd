//! What a subscription brings: a bounded queue between the reader of a socket, which never waits for it, and whoever
//! takes what is in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::book::Book;

/// How many items of a subscription may wait for whoever takes them,
const MOST_ITEMS: usize = 256;
/// and how many bytes, unless one item alone has more.
const MOST_BYTES: usize = 8 << 20;

/// What a subscription brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An item, as JSON text.
    Item(Bytes),
    /// So many items came faster than they were taken, and were let go.
    Missed(u64),
}

/// The queue of one subscription.
#[derive(Default)]
pub(super) struct Feed {
    state: Mutex<Queue>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    notices: VecDeque<Notice>,
    bytes: usize,
    ended: bool,
}

impl Feed {
    /// Another item; it is let go where there is no room for it.
    pub(super) fn push(&self, item: &Bytes) {
        {
            let mut queue = self.lock();
            let is_full =
                queue.notices.len() >= MOST_ITEMS || queue.bytes > 0 && queue.bytes + item.len() > MOST_BYTES;
            if !is_full {
                queue.bytes += item.len();
                // Not as a part of all that was read with it.
                queue.notices.push_back(Notice::Item(Bytes::copy_from_slice(item)));
            } else if let Some(Notice::Missed(count)) = queue.notices.back_mut() {
                *count += 1;
            } else {
                queue.notices.push_back(Notice::Missed(1));
            }
        }
        self.news.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.news.notify_one();
    }

    /// The next notice if there is one; else whether there may be more.
    fn next(&self) -> Result<Notice, bool> {
        let mut queue = self.lock();
        let Some(notice) = queue.notices.pop_front() else { return Err(!queue.ended) };
        if let Notice::Item(item) = &notice {
            queue.bytes -= item.len();
        }
        Ok(notice)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a subscription brings, in order. Dropped, the socket forgets the subscription.
pub struct Notices {
    id: Bytes,
    feed: Arc<Feed>,
    book: Arc<Book>,
}

impl Notices {
    pub(super) const fn new(id: Bytes, feed: Arc<Feed>, book: Arc<Book>) -> Self {
        Self { id, feed, book }
    }

    /// Nothing more is to come than what is here.
    pub fn end(&self) {
        self.book.unfollow(&self.id, &self.feed);
        self.feed.end();
    }

    /// The next of them; `None` when the connection has ended. Given up, it loses none.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.feed.next() {
                Ok(notice) => return Some(notice),
                Err(false) => return None,
                Err(true) => self.feed.news.notified().await,
            }
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices() -> (Arc<Feed>, Notices) {
        let feed = Arc::<Feed>::default();
        (Arc::clone(&feed), Notices::new(Bytes::from("1"), feed, Arc::default()))
    }

    fn item(text: &str) -> Notice {
        Notice::Item(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[tokio::test]
    async fn items_come_in_order_and_then_the_end() {
        let (feed, mut notices) = notices();
        feed.push(&Bytes::from("1"));
        feed.push(&Bytes::from("2"));
        feed.end();
        assert_eq!(notices.next().await, Some(item("1")));
        assert_eq!(notices.next().await, Some(item("2")));
        assert_eq!((notices.next().await, notices.next().await), (None, None));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_let_go_and_one_notice_tells_of_it_in_its_place() {
        let (feed, mut notices) = notices();
        for number in 0..MOST_ITEMS + 10 {
            feed.push(&Bytes::from(number.to_string()));
        }
        for number in 0..MOST_ITEMS {
            assert_eq!(notices.next().await, Some(item(&number.to_string())));
        }
        feed.push(&Bytes::from("later"));
        assert_eq!(notices.next().await, Some(Notice::Missed(10)));
        assert_eq!(notices.next().await, Some(item("later")));
    }

    #[tokio::test]
    async fn the_bytes_of_a_queue_are_bounded_too_but_one_item_always_fits() {
        let (feed, mut notices) = notices();
        let large = Bytes::from(vec![b'1'; MOST_BYTES + 1]);
        feed.push(&large);
        feed.push(&Bytes::from("2"));
        assert_eq!(notices.next().await, Some(Notice::Item(large)));
        assert_eq!(notices.next().await, Some(Notice::Missed(1)));
        feed.push(&Bytes::from("3"));
        assert_eq!(notices.next().await, Some(item("3")));
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let (feed, mut notices) = notices();
        for number in 0..3 {
            let wait = tokio::time::timeout(std::time::Duration::ZERO, notices.next());
            assert!(wait.await.is_err());
            feed.push(&Bytes::from(number.to_string()));
            assert_eq!(notices.next().await, Some(item(&number.to_string())));
        }
    }
}
