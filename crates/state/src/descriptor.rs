//! Descriptors: the name, type and life of a state, from which an operator gets its handle.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::{AggregateFunction, StateTtlConfig};

/// What all descriptors have: `name`, `ttl` and the methods for them.
macro_rules! common {
    ($name:ident<$($parameter:ident),+>) => {
        impl<$($parameter),+> $name<$($parameter),+> {
            /// Lets the state expire; without it, it is kept until it is cleared.
            #[must_use]
            pub fn with_ttl(mut self, ttl: StateTtlConfig) -> Self {
                self.ttl = Some(ttl);
                self
            }

            /// The name, unique within the operator.
            pub fn name(&self) -> &str {
                &self.name
            }
        }

        impl<$($parameter),+> fmt::Debug for $name<$($parameter),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("name", &self.name)
                    .field("ttl", &self.ttl)
                    .finish_non_exhaustive()
            }
        }
    };
}

/// Describes a [`ValueState`](crate::ValueState): one `T` per key.
///
/// ```
/// use flott_state::ValueStateDescriptor;
/// let descriptor = ValueStateDescriptor::<u64>::new("count");
/// assert_eq!(descriptor.name(), "count");
/// ```
pub struct ValueStateDescriptor<T> {
    pub(crate) name: String,
    pub(crate) ttl: Option<StateTtlConfig>,
    kind: PhantomData<fn() -> T>,
}

common!(ValueStateDescriptor<T>);

impl<T> Clone for ValueStateDescriptor<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            ttl: self.ttl.clone(),
            kind: PhantomData,
        }
    }
}

impl<T> ValueStateDescriptor<T> {
    /// A value state of that name, unique within its operator.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ttl: None,
            kind: PhantomData,
        }
    }
}

/// Describes a [`ListState`](crate::ListState), or a list of operator state: a list of `T`.
///
/// ```
/// use flott_state::ListStateDescriptor;
/// let descriptor = ListStateDescriptor::<String>::new("last-urls");
/// assert_eq!(descriptor.name(), "last-urls");
/// ```
pub struct ListStateDescriptor<T> {
    pub(crate) name: String,
    pub(crate) ttl: Option<StateTtlConfig>,
    kind: PhantomData<fn() -> T>,
}

common!(ListStateDescriptor<T>);

impl<T> Clone for ListStateDescriptor<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            ttl: self.ttl.clone(),
            kind: PhantomData,
        }
    }
}

impl<T> ListStateDescriptor<T> {
    /// A list state of that name, unique within its operator.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ttl: None,
            kind: PhantomData,
        }
    }
}

/// Describes a [`MapState`](crate::MapState) or a [`BroadcastState`](crate::BroadcastState): a map
/// from `MK` to `MV`.
///
/// ```
/// use flott_state::MapStateDescriptor;
/// let descriptor = MapStateDescriptor::<String, u64>::new("visits-by-page");
/// assert_eq!(descriptor.name(), "visits-by-page");
/// ```
pub struct MapStateDescriptor<MK, MV> {
    pub(crate) name: String,
    pub(crate) ttl: Option<StateTtlConfig>,
    kind: PhantomData<fn() -> (MK, MV)>,
}

common!(MapStateDescriptor<MK, MV>);

impl<MK, MV> Clone for MapStateDescriptor<MK, MV> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            ttl: self.ttl.clone(),
            kind: PhantomData,
        }
    }
}

impl<MK, MV> MapStateDescriptor<MK, MV> {
    /// A map state of that name, unique within its operator.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ttl: None,
            kind: PhantomData,
        }
    }
}

pub(crate) type Reduce<T> = Arc<dyn Fn(&mut T, T) + Send + Sync>;

/// Describes a [`ReducingState`](crate::ReducingState): all added values of a key, combined into one.
///
/// ```
/// use flott_state::ReducingStateDescriptor;
/// let largest = ReducingStateDescriptor::new("largest", |max: &mut u64, n| *max = n.max(*max));
/// assert_eq!(largest.name(), "largest");
/// ```
pub struct ReducingStateDescriptor<T> {
    pub(crate) name: String,
    pub(crate) ttl: Option<StateTtlConfig>,
    pub(crate) function: Reduce<T>,
}

common!(ReducingStateDescriptor<T>);

impl<T> Clone for ReducingStateDescriptor<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            ttl: self.ttl.clone(),
            function: Arc::clone(&self.function),
        }
    }
}

impl<T> ReducingStateDescriptor<T> {
    /// A reducing state of that name, unique within its operator. `function(combined, value)` adds a
    /// value; the first value of a key is what it begins with.
    pub fn new(
        name: impl Into<String>,
        function: impl Fn(&mut T, T) + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            ttl: None,
            function: Arc::new(function),
        }
    }
}

pub(crate) type Aggregate<In, Acc, Out> =
    Arc<dyn AggregateFunction<In, Accumulator = Acc, Output = Out> + Send + Sync>;

/// Describes an [`AggregatingState`](crate::AggregatingState): the values added for a key, kept as an
/// accumulator. See [`AggregateFunction`] for an example.
pub struct AggregatingStateDescriptor<In, Acc, Out> {
    pub(crate) name: String,
    pub(crate) ttl: Option<StateTtlConfig>,
    pub(crate) function: Aggregate<In, Acc, Out>,
}

common!(AggregatingStateDescriptor<In, Acc, Out>);

impl<In, Acc, Out> Clone for AggregatingStateDescriptor<In, Acc, Out> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            ttl: self.ttl.clone(),
            function: Arc::clone(&self.function),
        }
    }
}

impl<In, Acc, Out> AggregatingStateDescriptor<In, Acc, Out> {
    /// An aggregating state of that name, unique within its operator.
    pub fn new<F>(name: impl Into<String>, function: F) -> Self
    where
        F: AggregateFunction<In, Accumulator = Acc, Output = Out> + Send + Sync + 'static,
    {
        Self {
            name: name.into(),
            ttl: None,
            function: Arc::new(function),
        }
    }
}
