package embedded

import (
	"context"
	"errors"
)

var (
	errNoMessage     = errors.New("a rejection needs the delivered message")
	errUnknownAction = errors.New("unknown action")
)

// settling collects the errors of a batch that is carried out in parts.
type settling struct {
	errs []error
	n    int
}

func (b *settling) set(i int, err error) {
	if b.errs == nil {
		b.errs = make([]error, b.n)
	}
	b.errs[i] = err
}

// put places the errors of a part, whose items are those at the indices.
func (b *settling) put(ctx context.Context, s *Source, indices []int, errs []error) {
	for k, err := range errs {
		if err != nil {
			b.set(indices[k], s.fail(ctx, "settle", err))
		}
	}
}
