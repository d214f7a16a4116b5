package scan

import (
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// A Batch collects messages for one request of a sink, by number and by bytes.
type Batch struct {
	caps  drivers.Capabilities
	ms    []*handler.Message
	bytes int
}

// NewBatch returns an empty batch for a sink with these capabilities.
func NewBatch(caps drivers.Capabilities) *Batch { return &Batch{caps: caps} }

// Full reports whether m does not fit into the batch beside the messages that it has. Every
// message fits into an empty batch.
func (b *Batch) Full(m *handler.Message) bool {
	return len(b.ms) > 0 && (len(b.ms) >= min(max(b.caps.MaxSend, 1), AtOnce) || b.caps.MaxBatchBytes > 0 && b.bytes+sizeOf(m) > b.caps.MaxBatchBytes)
}

// Add adds a message.
func (b *Batch) Add(m *handler.Message) {
	b.ms = append(b.ms, m)
	b.bytes += sizeOf(m)
}

// Take returns the messages and empties the batch.
func (b *Batch) Take() []*handler.Message {
	ms := b.ms
	b.ms, b.bytes = nil, 0
	return ms
}

// Parts cuts letters into what one request of a sink with these capabilities takes.
func Parts(ds []drivers.Delivery, caps drivers.Capabilities) [][]drivers.Delivery {
	var out [][]drivers.Delivery
	b, begin := NewBatch(caps), 0
	for i, d := range ds {
		if b.Full(d.Message) {
			out, begin = append(out, ds[begin:i]), i
			b.Take()
		}
		b.Add(d.Message)
	}
	return append(out, ds[begin:])
}

// sizeOf is generous: it counts the driver's additions (types, markers, base64)
// too.
func sizeOf(m *handler.Message) int {
	n := len(m.Body)*4/3 + 1024
	for k, v := range m.Attributes {
		n += len(k) + len(v) + 16
	}
	return n
}
