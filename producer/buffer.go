package producer

// A buffer counts messages and their bytes.
type buffer struct{ messages, bytes int }

func (b *buffer) add(e *entry)    { b.messages++; b.bytes += e.size }
func (b *buffer) remove(e *entry) { b.messages--; b.bytes -= e.size }
