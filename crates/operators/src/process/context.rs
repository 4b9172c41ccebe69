//! What functions may ask and do while they process an element.

use flott_network::NO_TIMESTAMP;
use flott_record::Key;
use flott_state::{
    KeyedBackend, KeyedStateAccess, OperatorBackend, OperatorStateAccess, OperatorStateRead,
    TimeDomain,
};

use super::host::Host;
use super::sides::Sides;
use super::timer_service::TimerService;

/// The element that is processed: a record, or a timer that fires.
#[derive(Clone, Copy)]
pub(crate) struct Element {
    pub(crate) timestamp: i64,
    /// What is emitted gets this event time.
    pub(crate) emit: i64,
    pub(crate) domain: Option<TimeDomain>,
}

impl Element {
    #[inline(always)]
    pub(crate) fn record(timestamp: i64) -> Self {
        Self {
            timestamp,
            emit: timestamp,
            domain: None,
        }
    }

    pub(crate) fn timer(domain: TimeDomain, timestamp: i64) -> Self {
        let emit = match domain {
            TimeDomain::EventTime => timestamp,
            // The clock of a machine is no event time.
            TimeDomain::ProcessingTime => NO_TIMESTAMP,
        };
        Self {
            timestamp,
            emit,
            domain: Some(domain),
        }
    }

    pub(crate) fn time(&self) -> Option<i64> {
        Some(self.timestamp).filter(|timestamp| *timestamp != NO_TIMESTAMP)
    }
}

/// What all contexts can: tell the time, and emit to side outputs.
macro_rules! context {
    ($name:ident $(<$parameter:ident: $bound:ident>)?) => {
        impl<'a, $($parameter: $bound)?> $name<'a, $($parameter)?> {
            #[inline(always)]
            pub(crate) fn new(
                host: &'a mut $crate::process::host::Host<
                    $crate::process::context::context!(@key $($parameter)?)
                >,
                sides: &'a mut $crate::process::Sides,
                element: $crate::process::context::Element,
            ) -> Self {
                Self { host, sides, element }
            }

            /// The event time of the record, or the time of the timer that fires, in milliseconds
            /// since the epoch. `None` if the record has no event time.
            pub fn timestamp(&self) -> Option<i64> {
                self.element.time()
            }

            /// The event time that all records have reached, in milliseconds since the epoch;
            /// `i64::MIN` before the first watermark.
            pub fn current_watermark(&self) -> i64 {
                self.host.watermark
            }

            /// The clock of this machine, in milliseconds since the epoch.
            pub fn current_processing_time(&self) -> i64 {
                self.host.clock.now()
            }

            /// Emits a record to a side output, with the event time of the element. It is dropped
            /// if no stream reads that side output.
            pub fn output<T: flott_record::Record>(
                &mut self,
                tag: &$crate::OutputTag<T>,
                record: T,
            ) {
                self.sides.emit(tag, record, self.element.emit);
            }
        }
    };
    (@key) => { () };
    (@key $key:ident) => { $key };
}
pub(crate) use context;

/// The context of a [`ProcessFunction`](super::ProcessFunction) and a
/// [`CoProcessFunction`](super::CoProcessFunction).
pub struct ProcessContext<'a> {
    host: &'a mut Host<()>,
    sides: &'a mut Sides,
    element: Element,
}

context!(ProcessContext);

impl OperatorStateRead for ProcessContext<'_> {
    fn operator_state(&self) -> &OperatorBackend {
        &self.host.operator
    }
}

impl OperatorStateAccess for ProcessContext<'_> {
    fn operator_state_mut(&mut self) -> &mut OperatorBackend {
        &mut self.host.operator
    }
}

/// The context of a [`KeyedProcessFunction`](super::KeyedProcessFunction) and a
/// [`KeyedCoProcessFunction`](super::KeyedCoProcessFunction): handles of keyed state open the state
/// of the current key with it.
pub struct KeyedContext<'a, K: Key> {
    host: &'a mut Host<K>,
    sides: &'a mut Sides,
    element: Element,
}

context!(KeyedContext<K: Key>);

impl<K: Key> KeyedContext<'_, K> {
    /// The key of the record, or of the timer that fires.
    pub fn current_key(&self) -> &K {
        self.host.keyed.current_key()
    }

    /// Registers and deletes timers of the current key.
    pub fn timer_service(&mut self) -> TimerService<'_, K> {
        TimerService::new(self.host)
    }

    /// Which kind of timer fires; `None` while a record is processed.
    pub fn time_domain(&self) -> Option<TimeDomain> {
        self.element.domain
    }
}

impl<K: Key> KeyedStateAccess for KeyedContext<'_, K> {
    type Key = K;

    #[inline(always)]
    fn keyed_state(&mut self) -> &mut KeyedBackend<K> {
        &mut self.host.keyed
    }
}

impl<K: Key> OperatorStateRead for KeyedContext<'_, K> {
    fn operator_state(&self) -> &OperatorBackend {
        &self.host.operator
    }
}

impl<K: Key> OperatorStateAccess for KeyedContext<'_, K> {
    fn operator_state_mut(&mut self) -> &mut OperatorBackend {
        &mut self.host.operator
    }
}
