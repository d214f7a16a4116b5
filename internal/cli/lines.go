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
	"github.com/sluice-go/sluice/handler/producer"
)

const (
	// linesAtOnce is how many lines are handed to the producer in one call: some
	// full batches of every provider. It bounds what is in memory.
	linesAtOnce = 320
	// longestLine bounds a line, so that a file without line feeds does not end
	// up in memory. No provider takes as much.
	longestLine = 16 << 20
)

// sendLines sends every line of stdin. Lines are read while others are sent, and
// what is there is sent without waiting for more, so that a slow writer's lines
// go out as they come.
func (a *app) sendLines(ctx context.Context, p *producer.Producer, template *handler.Message, stopAtFailure bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan []byte, linesAtOnce)
	read := make(chan error, 1)
	go func() {
		read <- readLines(ctx, a.in, lines)
		close(lines)
	}()

	number, failed := 0, 0
	for {
		var (
			first []byte
			more  bool
		)
		select {
		case first, more = <-lines:
		case <-ctx.Done():
			return fmt.Errorf("stopped after line %d: %w", number, ctx.Err())
		}
		if !more {
			break
		}
		ms := []*handler.Message{fill(template, first)}
	gather:
		for len(ms) < linesAtOnce {
			select {
			case line, ok := <-lines:
				if !ok {
					break gather
				}
				ms = append(ms, fill(template, line))
			default:
				break gather
			}
		}
		n, err := a.sendChunk(ctx, p, ms, number)
		if err != nil {
			return err
		}
		number += len(ms)
		failed += n
		if failed > 0 && stopAtFailure {
			return fmt.Errorf("stopped after line %d: %d messages were not sent, and later ones of their group must not overtake them", number, failed)
		}
	}
	if err := <-read; err != nil {
		return fmt.Errorf("stdin, after line %d: %w", number, err)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d messages were not sent", failed, number)
	}
	return nil
}

// sendChunk sends messages and prints their IDs. It reports those that failed,
// and returns how many they are; before is the number of the line before them.
func (a *app) sendChunk(ctx context.Context, p *producer.Producer, ms []*handler.Message, before int) (int, error) {
	err := p.Send(ctx, ms...)
	var faults *producer.SendError
	if err != nil && !errors.As(err, &faults) {
		return 0, err
	}
	bad := make(map[int]bool)
	if faults != nil {
		for _, f := range faults.Failed {
			bad[f.Index] = true
			a.complainLine(lineError(before+f.Index+1, f.Err))
		}
	}
	for i, m := range ms {
		if bad[i] {
			continue
		}
		if err := a.printID(m.ID); err != nil {
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

// readLines sends each line of r to lines, without its line feed. A carriage
// return before it stays: it may be part of the data.
func readLines(ctx context.Context, r io.Reader, lines chan<- []byte) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := readLine(in)
		if len(line) > 0 || err == nil {
			select {
			case lines <- bytes.TrimSuffix(line, []byte("\n")):
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
