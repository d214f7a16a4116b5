package producer

import (
	"errors"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/setting"
)

// Pressure restrains senders while a queue is overloaded: from the time it has High
// visible messages until it has Low or fewer.
type Pressure struct {
	// Inspector reports the depth; usually it is the queue's source. It is
	// required. If it can't report the number of visible messages, senders are
	// not restrained, and that is logged.
	Inspector drivers.Inspector

	// High is the number of visible messages at which overload begins. It is
	// required. Low is the number at which overload ends; zero means four fifths
	// of High.
	High, Low int64

	// Every is the interval between two readings of the depth. Zero means 5
	// seconds. Messages sent between readings are not counted: choose High with
	// room for them.
	Every time.Duration

	// Overload selects what happens to messages meanwhile. Zero means Block.
	Overload Overload

	// Priority returns the rank of a message. With Shed, messages whose rank is
	// below Floor are refused while the queue is overloaded. Shed requires it. It
	// may be called concurrently.
	Priority func(m *handler.Message) int
	Floor    int
}

// Overload selects what happens to messages that are sent to an overloaded queue.
type Overload uint8

// The responses to overload.
const (
	// Block makes Send wait until the queue is no longer overloaded or the
	// context is done.
	Block Overload = iota
	// Refuse fails messages with [ErrOverloaded].
	Refuse
	// Shed refuses messages whose priority is below Floor and sends the others.
	Shed
)

// complete returns a copy of p with its defaults, and its faults.
func (p *Pressure) complete() (Pressure, error) {
	d := *p
	high := max(d.High, 0)
	return d, errors.Join(
		setting.Refuse(d.Inspector == nil, "Pressure.Inspector is nil"),
		setting.Positive("Pressure.High", d.High),
		setting.Range("Pressure.Low", &d.Low, 0, high, high*4/5),
		setting.Default("Pressure.Every", &d.Every, 5*time.Second),
		setting.Refuse(d.Overload > Shed, "Pressure.Overload is %d: it must be Block, Refuse or Shed", d.Overload),
		setting.Refuse(d.Overload == Shed && d.Priority == nil, "Pressure.Overload is Shed, but Pressure.Priority is nil"),
	)
}
