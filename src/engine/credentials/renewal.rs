//! Credentials that somebody outside the engine makes when they are needed. Whoever needs them at the same time waits
//! for the same answer, and what was asked is withdrawn when nobody waits for it any more.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::{Access, Credentials, Endpoint, Fields, Secret, invalid};
use crate::engine::error::{Error, Kind, Result};

/// How often one caller asks, when whoever was asked goes away without an answer: its event loop was closed.
const ASKS: usize = 3;

/// Who makes the credentials.
pub trait Source: Send + Sync {
    /// Have them made, without waiting here. Whoever drops the question without an answer has it asked again.
    ///
    /// Returns what is dropped as soon as nobody waits for the answer.
    fn ask(&self, question: Question) -> Box<dyn Send + Sync>;

    /// What tells one source from another as long as both live.
    fn identity(&self) -> usize;
}

/// The credentials of one endpoint, made by a source.
#[derive(Clone)]
pub struct Renewal(Arc<Inner>);

struct Inner {
    source: Arc<dyn Source>,
    endpoint: Arc<Endpoint>,
    headers: Vec<(String, Secret)>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was made last. The one before is wiped as soon as no request under way carries it.
    current: Option<Arc<Access>>,
    /// The question under way.
    ask: Weak<Ask>,
}

/// A question under way; it lives as long as somebody waits for the answer.
struct Ask {
    answer: watch::Sender<Option<Answer>>,
    errand: Mutex<Option<Box<dyn Send + Sync>>>,
}

#[derive(Clone)]
enum Answer {
    Made(Arc<Access>),
    Failed(Error),
    /// Whoever was asked has gone away.
    Nobody,
}

/// What a source is asked.
pub struct Question {
    renewal: Arc<Inner>,
    ask: Weak<Ask>,
}

impl Renewal {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        endpoint: Arc<Endpoint>,
        headers: Vec<(String, Secret)>,
    ) -> Self {
        Self(Arc::new(Inner { source, endpoint, headers, state: Mutex::default() }))
    }

    /// What a request carries: what was made last, unless that is what the node `refused`.
    ///
    /// # Errors
    /// What the source met, `InvalidCredentials` for what it made, `Security` if nobody makes them.
    pub(crate) async fn access(&self, refused: Option<&Arc<Access>>) -> Result<Arc<Access>> {
        for _ in 0..ASKS {
            let ask = match self.0.current_or_ask(refused) {
                Ok(access) => return Ok(access),
                Err(ask) => ask,
            };
            let mut answer = ask.answer.subscribe();
            let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
            match answer {
                Some(Answer::Made(access)) => return Ok(access),
                Some(Answer::Failed(error)) => return Err(error),
                Some(Answer::Nobody) | None => {}
            }
        }
        Err(Error::new(Kind::Security, "credentials: no event loop runs in which they could be made"))
    }

    /// What was made last, if anything was. Nobody is asked.
    pub(crate) fn current(&self) -> Option<Arc<Access>> {
        self.0.lock().current.clone()
    }

    /// The text without the secrets that were made last.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.current().map_or_else(|| text.to_owned(), |access| access.scrub(text))
    }
}

impl Inner {
    fn current_or_ask(
        self: &Arc<Self>,
        refused: Option<&Arc<Access>>,
    ) -> std::result::Result<Arc<Access>, Arc<Ask>> {
        let mut state = self.lock();
        if let Some(current) = &state.current
            && refused.is_none_or(|refused| !Arc::ptr_eq(refused, current))
        {
            return Ok(Arc::clone(current));
        }
        if let Some(ask) = state.ask.upgrade() {
            return Err(ask);
        }
        let ask = Arc::new(Ask { answer: watch::Sender::new(None), errand: Mutex::default() });
        state.ask = Arc::downgrade(&ask);
        drop(state);
        let question = Question { renewal: Arc::clone(self), ask: Arc::downgrade(&ask) };
        let errand = self.source.ask(question);
        *ask.errand.lock().unwrap_or_else(PoisonError::into_inner) = Some(errand);
        Err(ask)
    }

    fn check(&self, fields: &Fields) -> Result<Access> {
        let credentials = Credentials::parse(fields)?;
        if credentials.is_empty() {
            return Err(invalid("there are none"));
        }
        Access::judged(&self.endpoint, &credentials, &self.headers)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    /// The credentials, or why there are none. They are checked as those that are given at once.
    pub fn answer(self, made: Result<Fields>) {
        self.settle(match made.and_then(|fields| self.renewal.check(&fields)) {
            Ok(access) => Answer::Made(Arc::new(access)),
            Err(error) => Answer::Failed(error),
        });
    }

    /// Everybody who waits hears of the first answer.
    fn settle(&self, answer: Answer) {
        let Some(ask) = self.ask.upgrade() else { return };
        let mut state = self.renewal.lock();
        if ask.answer.borrow().is_some() {
            return;
        }
        // Whoever comes from now on asks anew, or takes what was made.
        state.ask = Weak::new();
        let before = match &answer {
            Answer::Made(access) => state.current.replace(Arc::clone(access)),
            Answer::Failed(_) | Answer::Nobody => None,
        };
        drop(state);
        drop(before);
        ask.answer.send_replace(Some(answer));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.settle(Answer::Nobody);
    }
}

impl PartialEq for Renewal {
    fn eq(&self, other: &Self) -> bool {
        self.0.source.identity() == other.0.source.identity()
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::engine::credentials::Field;

    const FIRST: &str = "k7Qm2xV9tR4wZ8bN1cL6";
    const SECOND: &str = "p3Hs9wK5yD2vJ7fG4tB8";

    /// Keeps the questions until a test answers them.
    #[derive(Default)]
    struct Scripted(Mutex<Vec<Question>>, Arc<()>);

    impl Source for Scripted {
        fn ask(&self, question: Question) -> Box<dyn Send + Sync> {
            self.0.lock().unwrap().push(question);
            Box::new(Arc::clone(&self.1))
        }

        fn identity(&self) -> usize {
            std::ptr::from_ref(self).addr()
        }
    }

    impl Scripted {
        fn asked(&self) -> usize {
            self.0.lock().unwrap().len()
        }

        fn answer(&self, made: Result<Fields>) {
            let question = self.0.lock().unwrap().remove(0);
            question.answer(made);
        }

        /// How many questions were not withdrawn.
        fn wanted(&self) -> usize {
            Arc::strong_count(&self.1) - 1
        }
    }

    fn world() -> (Arc<Scripted>, Renewal) {
        let source = Arc::<Scripted>::default();
        let endpoint = Arc::new(Endpoint::given("https://node.example.org/rpc").unwrap());
        (Arc::clone(&source), Renewal::new(source, endpoint, Vec::new()))
    }

    fn key(text: &str) -> Fields {
        vec![("api_key".to_owned(), Field::Text(Secret::new(text)))]
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn carries(access: &Access, text: &str) -> bool {
        access.headers["x-api-key"] == text
    }

    #[test]
    fn all_who_wait_share_one_question_and_it_is_not_asked_again() {
        let (source, renewal) = world();
        let (mut one, mut other) = (pin!(renewal.access(None)), pin!(renewal.access(None)));
        assert!(poll(one.as_mut()).is_pending() && poll(other.as_mut()).is_pending());
        assert_eq!(source.asked(), 1);
        source.answer(Ok(key(FIRST)));
        for waiting in [one, other] {
            assert!(matches!(poll(waiting), Poll::Ready(Ok(access)) if carries(&access, FIRST)));
        }
        assert!(poll(pin!(renewal.access(None))).is_ready());
        assert_eq!(source.asked(), 0);
    }

    #[test]
    fn only_what_is_still_current_is_asked_for_again_and_the_old_one_is_gone() {
        let (source, renewal) = world();
        let mut first = pin!(renewal.access(None));
        assert!(poll(first.as_mut()).is_pending());
        source.answer(Ok(key(FIRST)));
        let Poll::Ready(Ok(first)) = poll(first) else { unreachable!() };
        let mut second = pin!(renewal.access(Some(&first)));
        assert!(poll(second.as_mut()).is_pending());
        source.answer(Ok(key(SECOND)));
        assert!(matches!(poll(second), Poll::Ready(Ok(access)) if carries(&access, SECOND)));
        // Another request was refused with the old one too.
        assert!(
            matches!(poll(pin!(renewal.access(Some(&first)))), Poll::Ready(Ok(access)) if carries(&access, SECOND))
        );
        assert_eq!(Arc::strong_count(&first), 1);
    }

    #[test]
    fn a_failure_is_everybody_s_and_the_next_one_asks_anew() {
        let (source, renewal) = world();
        let (mut one, mut other) = (pin!(renewal.access(None)), pin!(renewal.access(None)));
        assert!(poll(one.as_mut()).is_pending() && poll(other.as_mut()).is_pending());
        source.answer(Err(Error::new(Kind::Security, "x").raised_by(7_u8)));
        for waiting in [one, other] {
            assert!(matches!(poll(waiting), Poll::Ready(Err(error)) if error.origin() == Some(&7_u8)));
        }
        let mut again = pin!(renewal.access(None));
        assert!(poll(again.as_mut()).is_pending());
        source.answer(Ok(key("your_key")));
        assert!(matches!(poll(again), Poll::Ready(Err(error)) if error.kind() == Kind::InvalidCredentials));
        let mut none = pin!(renewal.access(None));
        assert!(poll(none.as_mut()).is_pending());
        source.answer(Ok(Vec::new()));
        assert!(matches!(poll(none), Poll::Ready(Err(error)) if error.kind() == Kind::InvalidCredentials));
    }

    #[test]
    fn what_nobody_waits_for_is_withdrawn_and_an_answer_to_it_is_no_news() {
        let (source, renewal) = world();
        {
            let mut waiting = pin!(renewal.access(None));
            assert!(poll(waiting.as_mut()).is_pending());
            assert_eq!(source.wanted(), 1);
        }
        assert_eq!(source.wanted(), 0);
        source.answer(Ok(key(FIRST)));
        assert!(poll(pin!(renewal.access(None))).is_pending());
        assert_eq!(source.asked(), 1);
    }

    #[test]
    fn a_question_that_is_dropped_is_asked_again_but_not_for_ever() {
        let (source, renewal) = world();
        let mut waiting = pin!(renewal.access(None));
        for _ in 0..ASKS {
            assert!(poll(waiting.as_mut()).is_pending());
            assert_eq!(source.asked(), 1);
            source.0.lock().unwrap().clear();
        }
        assert!(matches!(poll(waiting), Poll::Ready(Err(error)) if error.kind() == Kind::Security));
    }
}
