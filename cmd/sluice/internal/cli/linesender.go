package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/noun"
	"github.com/sluice-go/sluice/producer"
)

const (
	// linesAtOnce is how many lines are handed to the producer in one call: some
	// full batches of every provider. It bounds what is in memory.
	linesAtOnce = 320
	// longestLine bounds a line, so that a file without line feeds does not end
	// up in memory. No provider takes as much.
	longestLine = 16 << 20
)

// A lineSender sends every line of stdin as a message.
type lineSender struct {
	*app
	producer *producer.Producer
	template *handler.Message // without its body
	// stopAtFailure is true if a message must not be sent after one before it
	// has failed.
	stopAtFailure bool
	// settled is the number of the last line whose message was sent or reported as failed.
	settled int
}

// run sends the lines. Lines are read while others are sent, and
// what is there is sent without waiting for more, so that a slow writer's lines
// go out as they come.
func (s *lineSender) run(ctx context.Context) (err error) {
	defer func() {
		// An interrupt, or a reader of the IDs that ends, such as head, does not say where.
		if errors.Is(err, context.Canceled) || s.unread(err) {
			s.log.Warn("stopped: later lines are not sent", "after_line", s.settled)
		}
	}()
	if terminal(s.in) {
		s.log.Info("reading messages from the terminal, one a line: Ctrl-D ends them")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan line, linesAtOnce)
	read := make(chan error, 1)
	go func() {
		read <- readLines(ctx, s.in, lines)
		close(lines)
	}()

	sent, failed := 0, 0
	for {
		var (
			first line
			more  bool
		)
		select {
		case first, more = <-lines:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !more {
			break
		}
		ms, numbers := []*handler.Message{fill(s.template, first.body)}, []int{first.number}
	gather:
		for len(ms) < linesAtOnce {
			select {
			case line, ok := <-lines:
				if !ok {
					break gather
				}
				ms, numbers = append(ms, fill(s.template, line.body)), append(numbers, line.number)
			default:
				break gather
			}
		}
		n, err := s.send(ctx, ms, numbers)
		if err != nil {
			return err
		}
		sent += len(ms)
		failed += n
		if failed > 0 && s.stopAtFailure {
			return fmt.Errorf("stopped after line %d: could not send %s, which later ones of the group must not overtake", s.settled, noun.Counted(failed, "message"))
		}
	}
	if err := <-read; err != nil {
		return fmt.Errorf("stdin, after line %d: %w", s.settled, err)
	}
	if failed > 0 {
		return fmt.Errorf("could not send %d of %s", failed, noun.Counted(sent, "message"))
	}
	return nil
}

// send sends messages and prints their IDs. It reports those that failed,
// and returns how many they are; numbers are those of their lines.
func (s *lineSender) send(ctx context.Context, ms []*handler.Message, numbers []int) (int, error) {
	err := s.producer.Send(ctx, ms...)
	var faults *producer.SendError
	if err != nil && !errors.As(err, &faults) {
		return 0, err
	}
	s.settled = numbers[len(numbers)-1]
	bad := make(map[int]bool)
	if faults != nil {
		for _, f := range faults.Failed {
			bad[f.Index] = true
			s.complainLine(lineError(numbers[f.Index], f.Err))
		}
	}
	for i, m := range ms {
		if bad[i] {
			continue
		}
		if err := printID(s.app, m.ID); err != nil {
			return len(bad), err
		}
	}
	if err := ctx.Err(); err != nil {
		return len(bad), err
	}
	return len(bad), nil
}

// fill makes a message of a line.
func fill(template *handler.Message, line []byte) *handler.Message {
	m := *template
	m.Attributes = maps.Clone(template.Attributes)
	m.Body = line
	return &m
}

// A line is one of the input's that has something in it.
type line struct {
	number int // from 1, with the blank ones counted
	body   []byte
}

// readLines sends each line of r to lines, without its line feed. It leaves a byte
// order mark out, and blank lines. A carriage return before the line feed is part
// of the data, unless the first line ends with one too: then the file's lines all
// do, as Windows writes them.
func readLines(ctx context.Context, r io.Reader, lines chan<- line) error {
	in := bufio.NewReaderSize(r, 64<<10)
	windows := false
	for number := 1; ; number++ {
		text, err := readLine(in)
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
			windows = bytes.HasSuffix(text, []byte("\r\n"))
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		if windows {
			text = bytes.TrimSuffix(text, []byte("\r"))
		}
		if len(bytes.TrimSpace(text)) > 0 {
			select {
			case lines <- line{number, text}:
			case <-ctx.Done():
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// readLine returns the next line with its line feed, if it has one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longestLine {
			return nil, fmt.Errorf("the next line is longer than %d bytes", longestLine)
		}
	}
}

// lineError names the line that a failure is about.
func lineError(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }
