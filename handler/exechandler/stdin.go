package exechandler

import (
	"io"
	"os"
)

// exitNotFound and exitNotExecutable are with what shells and env end if they can't start
// the program that they are to become (POSIX, Shell Command Language, 2.8.2).
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// A stdin is a command's standard input, which knows how much of it was read.
type stdin struct {
	r, w    *os.File
	written chan struct{}
}

// newStdin begins to write body.
func newStdin(body []byte) (*stdin, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s := &stdin{r: r, w: w, written: make(chan struct{})}
	go func() {
		defer close(s.written)
		_, _ = w.Write(body) // a command need not read its input
		_ = w.Close()
	}()
	return s, nil
}

// left returns how many bytes the command, which has ended, has not read.
func (s *stdin) left() int64 {
	n, _ := io.Copy(io.Discard, s.r)
	return n
}

// close ends the writing.
func (s *stdin) close() {
	_ = s.r.Close()
	_ = s.w.Close() // a process that the command left behind may have the other end
	<-s.written
}
