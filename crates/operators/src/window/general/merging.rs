//! Windows of a key that become one.

use flott_record::{Key, Record};

use super::{Kept, Of, OfWindow, Store};
use crate::TaskError;
use crate::window::assigner::Merge;
use crate::window::function::WindowFunction;
use crate::window::{Contents, Trigger, WindowAssigner};

impl<T, K, A, R, C, F> Store<T, K, A, R, C, F>
where
    T: Record,
    K: Key,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, K, A::Window, C>,
{
    /// Merges a new window with those of the key; what it becomes.
    pub(super) fn merge(
        &mut self,
        of: Of<'_, K>,
        window: A::Window,
    ) -> Result<A::Window, TaskError> {
        let Some(windows) = self.table.get(of.hash, of.key) else {
            return Ok(window);
        };
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend(windows.iter().map(|kept| kept.window.clone()));
        if let Err(at) = candidates.binary_search(&window) {
            candidates.insert(at, window.clone());
        }
        let mut merges = Vec::new();
        self.assigner.merge_windows(&candidates, &mut merges);
        self.candidates = candidates;
        let mut becomes = window.clone();
        for merge in merges {
            let with_new = merge.windows.contains(&window);
            if with_new {
                becomes = merge.into.clone();
            }
            self.merge_into(of, merge, with_new)?;
        }
        Ok(becomes)
    }

    fn merge_into(
        &mut self,
        of: Of<'_, K>,
        Merge { into, windows }: Merge<A::Window>,
        with_new: bool,
    ) -> Result<(), TaskError> {
        let Some(kept) = self.table.get_mut(of.hash, of.key) else {
            return Ok(());
        };
        let mut known = kept.iter().filter(|kept| windows.contains(&kept.window));
        // A window that swallows the new one only stays as it is.
        if let (Some(only), None) = (known.next(), known.next())
            && only.window == into
        {
            return Ok(());
        }
        let mut merged: Kept<_, C::Value, R::State> = Kept::new(into);
        let (mut olds, mut states) = (Vec::new(), Vec::new());
        for window in &windows {
            let found = kept.binary_search_by(|kept| kept.window.cmp(window));
            let Ok(at) = found else {
                continue;
            };
            let old = kept.remove(at);
            match (&mut merged.value, old.value) {
                (Some(value), Some(other)) => self.contents.merge(value, other),
                (value @ None, other) => *value = other,
                (Some(_), None) => {}
            }
            olds.push(old.window);
            states.push(old.state);
        }
        if olds.is_empty() {
            return Ok(());
        }
        let into = merged.window.clone();
        let mut timers = OfWindow::new(&mut self.timers, of, &into, &self.clocks);
        let mut cx = self.clocks.trigger_context(&mut timers);
        self.trigger
            .on_merge(&into, &mut merged.state, &states, &mut cx);
        for (old, mut state) in olds.into_iter().zip(states) {
            if old != into {
                self.clear(of, &old, &mut state)?;
                let (domain, until) = (self.cleanup_domain(), self.cleanup_time(&old));
                self.timers.of(domain).delete(until, of.hash, of.key, &old);
            }
        }
        let kept = self.table.get_or_insert_with(of.hash, of.key, Vec::new);
        let at = kept.partition_point(|kept| kept.window < into);
        kept.insert(at, merged);
        // A window with the new row is seen to when the row is added.
        if !with_new {
            self.register_cleanup(of, &into);
        }
        Ok(())
    }
}
