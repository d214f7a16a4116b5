package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
)

// label is what results call a queue: its name in the configuration, or the
// provider's if it was given as a URL.
func label(q *config.Queue, c drivers.Capabilities) string {
	if q.Configured || c.Queue == "" {
		return q.Name
	}
	return c.Queue
}

// close closes a source or a sink, and adds what went wrong to a command's
// error.
func closing(c interface{ Close() error }, err *error) {
	if fault := c.Close(); fault != nil {
		*err = errors.Join(*err, fmt.Errorf("close: %w", fault))
	}
}

// ability returns a source's optional interface, or an error that says that its
// provider lacks it.
func ability[T any](s drivers.Source, op string) (T, error) {
	t, ok := s.(T)
	if !ok {
		c := s.Capabilities()
		return t, &drivers.Error{Code: drivers.Unsupported, Queue: c.Queue, Op: op,
			Err: fmt.Errorf("the driver for %s cannot do it", strings.TrimPrefix(c.System, "sluice_"))}
	}
	return t, nil
}
