package exechandler

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-go/sluice/handler"
)

// maxAnswer is how long a line of a worker's standard output may be, in bytes. A
// longer one is an error of the worker.
const maxAnswer = 16 << 20

// outputGrace is how long after a worker's end its output is still read, if a
// process that it left behind keeps it open.
const outputGrace = time.Second

// A line is what a worker wrote to standard output, without its line feed.
type line struct {
	text []byte
	long bool // it is longer than maxAnswer, and was not read to its end
}

// A worker is one process. Apart from terminate and kill it is used by one
// goroutine at a time.
type worker struct {
	name    string
	cmd     *exec.Cmd
	grace   time.Duration
	log     *slog.Logger
	stdin   *os.File
	stderr  *workerLog
	handled int
	noisy   bool // its noise was logged

	lines chan line     // closed at the end of standard output
	ended chan struct{} // closed when the process has ended
	quiet chan struct{} // closed at the end of standard error
	gone  chan struct{} // closed when nobody reads lines any more

	mu       sync.Mutex
	reaped   bool        // its ID may be another's by now
	killer   *time.Timer // set once it was asked to end
	unlisten func() bool // stops listening to the pool's end
}

// startWorker starts a worker. It is killed when now ends.
func startWorker(now context.Context, path string, words []string, c *Config) (*worker, error) {
	var child, own [3]*os.File
	for i := range child {
		r, w, err := os.Pipe()
		if err != nil {
			closeFiles(child[:i]...)
			closeFiles(own[:i]...)
			return nil, err
		}
		if child[i], own[i] = w, r; i == 0 {
			child[i], own[i] = r, w
		}
	}
	cmd := &exec.Cmd{Path: path, Args: words, Dir: c.Dir, Env: c.Env, Stdin: child[0], Stdout: child[1], Stderr: child[2]}
	isolate(cmd)
	w := &worker{
		name: words[0], cmd: cmd, grace: c.KillGrace, stdin: own[0],
		// One line can wait: the next call sees it, and does not mistake it for the
		// answer.
		lines: make(chan line, 1), ended: make(chan struct{}), quiet: make(chan struct{}), gone: make(chan struct{}),
	}
	started := make(chan error, 1)
	go w.keep(started, child[:], own[1:])
	if err := <-started; err != nil {
		closeFiles(own[:]...)
		return nil, err
	}
	w.log = c.Logger.With("pid", cmd.Process.Pid)
	w.stderr = newWorkerLog(w.log.With("stream", "stderr"))
	w.unlisten = context.AfterFunc(now, w.kill)
	go w.read(own[1])
	go func() {
		defer close(w.quiet)
		_, _ = io.Copy(w.stderr, own[2])
		w.stderr.flush()
		closeFiles(own[2])
	}()
	return w, nil
}

func closeFiles(fs ...*os.File) {
	for _, f := range fs {
		_ = f.Close()
	}
}

// keep starts the process and waits for its end. If the kernel ends a process
// with its parent, it takes the thread that started it for the parent: that must
// live as long, which is why all of it is on one goroutine.
func (w *worker) keep(started chan<- error, child, outputs []*os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := w.cmd.Start()
	closeFiles(child...)
	started <- err
	if err != nil {
		return
	}
	_ = w.cmd.Wait()
	w.mu.Lock()
	w.reaped = true
	if w.killer != nil {
		w.killer.Stop()
	}
	// Kill the processes that it has left behind. The group's ID belongs to no one else while
	// there is such a process.
	_ = killGroup(w.cmd)
	w.mu.Unlock()
	close(w.ended)
	// A process that has left the group can still hold the output open.
	t := time.NewTimer(outputGrace)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.gone:
	}
	closeFiles(outputs...)
}

// read reads standard output.
func (w *worker) read(out *os.File) {
	defer close(w.lines)
	r := bufio.NewReaderSize(out, 16<<10)
	for {
		l, err := readLine(r)
		if err != nil {
			return // what has no line feed is not a line
		}
		select {
		case w.lines <- l:
		case <-w.gone:
			return
		}
		if l.long {
			return
		}
	}
}

func readLine(r *bufio.Reader) (line, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > maxAnswer {
			return line{text: text, long: true}, nil
		}
		text = append(text, part...)
		if err == nil {
			return line{text: text[:len(text)-1]}, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line{}, err
		}
	}
}

// idle returns an error if a worker that has no message cannot get one: it has
// ended, or has written something that was not asked for. Then it has ended.
// fault is false if it has done no wrong: it may end itself after so many
// messages.
func (w *worker) idle() (fault bool, err error) {
	select {
	case l, ok := <-w.lines:
		if ok && l.noise() {
			w.tellNoise(l)
			return w.idle()
		}
		state := w.state()
		if ok {
			return true, fmt.Errorf("it wrote to standard output while it had no message: %.80q", l.text)
		}
		return w.handled == 0 || !w.cmd.ProcessState.Success(), fmt.Errorf("it ended while it had no message: %s", state)
	default:
		return false, nil
	}
}

// state waits for the process's end and says how it was.
func (w *worker) state() string {
	w.terminate() // it may only have closed its output
	<-w.ended
	return w.cmd.ProcessState.String()
}

// answeredEarly is how long a worker that has answered may take to have read its
// message.
const answeredEarly = 5 * time.Second

// handle gives the worker a message and returns its verdict. answered is false
// if it gave none: then it has ended. more is false if it can have no other
// message.
func (w *worker) handle(ctx context.Context, m *handler.Message, text []byte) (answered, more bool, verdict error) {
	w.stderr.begin(m, w.handled == 0)
	defer w.stderr.end()
	w.handled++
	stop := context.AfterFunc(ctx, w.terminate)
	defer stop()

	wrote := make(chan error, 1)
	put := 0
	go func() {
		n, err := w.stdin.Write(text)
		put = n
		wrote <- err
	}()
	var l line
	var got bool
	select {
	case l, got = <-w.lines:
	case err := <-wrote:
		if err != nil {
			w.terminate() // it does not read; it may have answered all the same
		}
		wrote <- err
		l, got = <-w.lines
	}
	if !got {
		err := w.lost(ctx)
		_ = w.stdin.SetWriteDeadline(time.Now()) // a process that it left behind may have the other end
		if err := <-wrote; err != nil {
			w.log.Debug("the message was written only in part", "message", m.ID, "error", err)
		}
		if left, ok := unread(w.stdin); ok && left == put && ctx.Err() == nil {
			err = handler.Postpone(0, err) // nobody has had the message
		}
		return false, false, err
	}
	a, err := w.understand(l, m)
	if err != nil && l.noise() {
		if better, ok := w.pastNoise(l, m); ok {
			a, err = better, nil
		}
	}
	if err == nil {
		t := time.NewTimer(answeredEarly)
		defer t.Stop()
		select {
		case err = <-wrote:
			if err != nil {
				err = errors.New("it answered without reading the message")
			}
		case <-t.C:
			err = errors.New("it answered without reading the message")
		}
	}
	if err != nil {
		w.terminate()
		<-w.ended
		return false, false, w.explain(fmt.Errorf("%s: the worker's answer is not a verdict: %w", w.name, err))
	}
	return true, stop(), a.verdict // not stopped: it was asked to end
}

// understand reads a worker's answer about m.
func (w *worker) understand(l line, m *handler.Message) (answer, error) {
	if l.long {
		return answer{}, fmt.Errorf("a line of more than %d bytes", maxAnswer)
	}
	a, err := parseAnswer(l.text)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %.80q", err, l.text)
	}
	if a.id != "" && a.id != m.ID {
		return answer{}, fmt.Errorf("it names another message, %.80q", a.id)
	}
	return a, nil
}

// A library's output on standard output stands between a worker and its answers. A
// line that does not begin as an answer does is noise. It can't become a verdict, so it
// is logged, and the answer is looked for behind it, on the line or on those that follow
// within noisePatience; while a worker starts, within startPatience. Such an answer must
// name the message.
const (
	noisePatience = time.Second
	startPatience = 30 * time.Second
	// maxBraces is at how many places of a line an answer is looked for.
	maxBraces = 64
)

// noise reports whether a line is not an answer, not even a wrong one.
func (l line) noise() bool {
	return !l.long && !bytes.HasPrefix(bytes.TrimSpace(l.text), []byte("{"))
}

// pastNoise looks for the answer to m behind a line of noise.
func (w *worker) pastNoise(l line, m *handler.Message) (a answer, ok bool) {
	patience := noisePatience
	if w.handled == 1 {
		patience = startPatience
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	for l.noise() {
		w.tellNoise(l)
		if a, ok := answerBehind(l.text, m.ID); ok {
			return a, true
		}
		select {
		case next, got := <-w.lines:
			if !got {
				return answer{}, false
			}
			l = next
		case <-t.C:
			return answer{}, false
		}
	}
	a, err := w.understand(l, m)
	return a, err == nil && a.id != ""
}

// answerBehind finds an answer that ends a line which begins with something else.
func answerBehind(text []byte, id string) (answer, bool) {
	from := 0
	for range maxBraces {
		i := bytes.IndexByte(text[from:], '{')
		if i < 0 {
			break
		}
		from += i
		if a, err := parseAnswer(text[from:]); err == nil && a.id != "" && a.id == id {
			return a, true
		}
		from++
	}
	return answer{}, false
}

// tellNoise logs, once a worker, that it writes what is not an answer.
func (w *worker) tellNoise(l line) {
	if w.noisy {
		return
	}
	w.noisy = true
	w.log.Warn("the worker wrote a line that is not an answer to standard output: write it to standard error", "line", fmt.Sprintf("%.80q", l.text))
}

// lost is the error of a message whose worker ended.
func (w *worker) lost(ctx context.Context) error {
	state := w.state()
	if ctx.Err() != nil {
		return fmt.Errorf("%s was ended: %w", w.name, context.Cause(ctx))
	}
	return w.explain(fmt.Errorf("%s: the worker ended before it answered: %s", w.name, state))
}

// explain adds what the worker, which has ended, said last.
func (w *worker) explain(err error) error {
	<-w.quiet
	return explain(err, w.stderr.said())
}

// terminate asks the worker to end, and sees to it that it does within the
// grace.
func (w *worker) terminate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reaped || w.killer != nil {
		return
	}
	w.signal(terminateGroup)
	w.killer = time.AfterFunc(w.grace, w.kill)
}

// kill ends the worker immediately.
func (w *worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.reaped {
		w.signal(killGroup)
	}
}

func (w *worker) signal(send func(*exec.Cmd) error) {
	if err := send(w.cmd); err != nil {
		w.log.Debug("signal", "error", err)
	}
}

// retire ends a worker that has no message: it gets the end of its input, and
// after the grace the signals.
func (w *worker) retire(grace time.Duration) {
	closeFiles(w.stdin)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-w.ended:
	case <-t.C:
		w.log.Warn("the worker did not exit when its standard input closed: sending signals", "after", grace)
		w.terminate()
		<-w.ended
	}
	w.unlisten()
	close(w.gone)
}
