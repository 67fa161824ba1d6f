//! How far a download is: a bar for all of it, and one for each large file that is under way.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bars; nothing is drawn where there is no terminal.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    total: ProgressBar,
}

impl Progress {
    /// No file is known yet.
    pub fn new(visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let total = bars.add(ProgressBar::new(0));
        total.set_style(style("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"));
        total.set_message("all files");
        Self { bars, total }
    }

    /// Files of these sizes are wanted, too.
    pub(super) fn expect(&self, sizes: impl Iterator<Item = u64>) {
        self.total.inc_length(sizes.sum());
    }

    /// A file is there, or will not come.
    pub(super) fn ended(&self, size: u64) {
        self.total.inc(size);
    }

    /// The bar of a file that is under way, until it goes out of scope.
    pub(super) fn file(&self, name: &str, size: u64) -> FileProgress<'_> {
        let bar = self.bars.insert_before(&self.total, ProgressBar::new(size));
        bar.set_style(style("{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}"));
        bar.set_message(name.to_owned());
        FileProgress { all: self, bar }
    }
}

/// How far a large file is. What has arrived of it counts among all files at once.
#[derive(Debug)]
pub struct FileProgress<'a> {
    all: &'a Progress,
    bar: ProgressBar,
}

impl FileProgress<'_> {
    /// So much of it is there.
    pub(crate) fn is_at(&self, position: u64) {
        let before = self.bar.position();
        self.bar.set_position(position);
        self.all.total.inc(position.saturating_sub(before));
        self.all.total.dec(before.saturating_sub(position));
    }
}

impl Drop for FileProgress<'_> {
    /// It is counted as a whole when it has ended.
    fn drop(&mut self) {
        self.is_at(0);
        self.bar.finish_and_clear();
        self.all.bars.remove(&self.bar);
    }
}

impl Drop for Progress {
    /// What is said afterwards stands where the bars were.
    fn drop(&mut self) {
        self.total.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.expect("the templates are constant, and a test draws them").progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_can_be_drawn() {
        let progress = Progress::new(true);
        progress.expect([3, 4].into_iter());
        let bar = progress.file("artifacts.tar.zst", 4);
        bar.is_at(3);
        assert_eq!((progress.total.length(), progress.total.position()), (Some(7), 3));
        bar.is_at(2);
        assert_eq!(progress.total.position(), 2);
        drop(bar);
        progress.ended(4);
        assert_eq!(progress.total.position(), 4);
    }
}
