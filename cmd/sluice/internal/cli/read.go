package cli

import (
	"context"
	"io"
)

// readAll reads all of r, or returns ctx's error when that is done: a read from a
// terminal or a pipe cannot be ended. The reading goroutine goes on until then.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	done := make(chan result, 1)
	go func() {
		content, err := io.ReadAll(r)
		done <- result{content, err}
	}()
	select {
	case d := <-done:
		return d.content, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
