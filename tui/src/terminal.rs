//! Taking over the terminal and giving it back: on quit, on an error, on a signal and on a panic.
//!
//! A frame is collected in memory and written in one piece between the marks of synchronized output
//! (DEC private mode 2026), so that no terminal shows half a frame.

use std::{
    cell::RefCell,
    io::{self, Stdout, Write},
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    cursor,
    event::{DisableFocusChange, EnableFocusChange},
    execute, queue,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
        enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

/// Collects a frame; [`Write::flush`] does nothing, so that the frame leaves in one write.
#[derive(Debug)]
pub struct FrameWriter<W> {
    frame: Vec<u8>,
    out: W,
    written: u64,
}

/// The backend's hand on the writer: ratatui does not give its own back.
#[derive(Debug)]
struct Handle(Rc<RefCell<FrameWriter<Stdout>>>);

/// The terminal while neotop has it. Dropping it gives it back.
#[derive(Debug)]
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Handle>>,
    writer: Rc<RefCell<FrameWriter<Stdout>>>,
}

// === impl FrameWriter ===

impl<W: Write> FrameWriter<W> {
    /// A writer in front of `out`.
    pub fn new(out: W) -> Self {
        Self {
            frame: Vec::with_capacity(64 << 10),
            out,
            written: 0,
        }
    }

    /// Writes what was collected, in one piece.
    pub fn send(&mut self) -> io::Result<()> {
        self.out.write_all(&self.frame)?;
        self.out.flush()?;
        self.written += self.frame.len() as u64;
        self.frame.clear();
        Ok(())
    }

    /// Bytes sent so far.
    pub fn written(&self) -> u64 {
        self.written
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Screen ===

impl Screen {
    /// Takes the terminal over.
    pub fn enter() -> io::Result<Self> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        TAKEN.store(true, Ordering::SeqCst);
        if let Err(error) = enable_raw_mode() {
            TAKEN.store(false, Ordering::SeqCst);
            return Err(error);
        }
        if let Err(error) = execute!(io::stdout(), EnterAlternateScreen, cursor::Hide, EnableFocusChange) {
            restore();
            return Err(error);
        }
        let writer = Rc::new(RefCell::new(FrameWriter::new(io::stdout())));
        match Terminal::new(CrosstermBackend::new(Handle(Rc::clone(&writer)))) {
            Ok(terminal) => Ok(Self { terminal, writer }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Draws a frame.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(draw)?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.writer.borrow_mut().send()
    }

    /// Makes the next frame a whole one.
    pub fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back, once: leaving the alternate screen twice would move the cursor back and let the
/// next output overwrite the message of a panic. Errors are ignored: there is nothing left to tell them to.
fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let _ = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableFocusChange,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_leaves_in_one_write() {
        #[derive(Default)]
        struct Count(Vec<usize>);
        impl Write for Count {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = FrameWriter::new(Count::default());
        writer.write_all(b"abc").unwrap();
        writer.flush().unwrap();
        writer.write_all(b"de").unwrap();
        assert!(writer.out.0.is_empty());
        writer.send().unwrap();
        assert_eq!((writer.out.0.as_slice(), writer.written()), ([5].as_slice(), 5));
    }
}
