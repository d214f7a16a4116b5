package handlertest

import (
	"time"

	"github.com/sluice-go/sluice/handler"
)

// An entry is a message that is not done with.
type entry struct {
	message  *handler.Message
	attempts int
	due      time.Time
	seq      int // of those due together, the one that came first goes first
}

// A schedule is a heap of entries, the next one on top.
type schedule []*entry

func (s schedule) Len() int { return len(s) }

func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

func (s *schedule) Push(x any) { *s = append(*s, x.(*entry)) }

func (s schedule) Less(i, j int) bool {
	if !s[i].due.Equal(s[j].due) {
		return s[i].due.Before(s[j].due)
	}
	return s[i].seq < s[j].seq
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	*s = (*s)[:last]
	return e
}
