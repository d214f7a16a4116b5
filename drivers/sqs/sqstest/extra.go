package sqstest

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/internal/queue"
)

// extraVersion is the first byte of what this package keeps in a message's
// Extra. It is on disk when the engine is, so an old one must stay readable.
const extraVersion = 1

// extra is what SQS keeps of a message and the engine knows nothing of.
type extra struct {
	sender     string
	trace      string
	attributes []attribute // sorted by name
}

func (e *extra) encode() []byte {
	size := 4 + len(e.sender) + len(e.trace) + 4*binary.MaxVarintLen32
	for i := range e.attributes {
		size += e.attributes[i].size() + 1 + 3*binary.MaxVarintLen32
	}
	b := append(make([]byte, 0, size), extraVersion)
	b = appendPart(b, e.sender)
	b = appendPart(b, e.trace)
	b = binary.AppendUvarint(b, uint64(len(e.attributes)))
	for i := range e.attributes {
		a := &e.attributes[i]
		b = appendPart(b, a.name)
		b = appendPart(b, a.dataType)
		b = appendPart(b, a.value)
	}
	return b
}

func appendPart[S string | []byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// extraOf reads it back. A message that another face of the engine sent has no
// Extra: its attributes are strings.
func extraOf(m *queue.Message) extra {
	if e, ok := decodeExtra(m.Extra); ok {
		return e
	}
	var e extra
	for name, value := range m.Attributes {
		e.attributes = append(e.attributes, attribute{name: name, dataType: "String", value: []byte(value), hasText: true})
	}
	slices.SortFunc(e.attributes, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	return e
}

// decodeExtra shares b's memory.
func decodeExtra(b []byte) (extra, bool) {
	if len(b) == 0 || b[0] != extraVersion {
		return extra{}, false
	}
	b, ok := b[1:], true
	part := func() []byte {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			ok, b = false, nil
			return nil
		}
		p := b[used : used+int(n)] // n is at most len(b)
		b = b[used+int(n):]        // n is at most len(b)
		return p
	}
	e := extra{sender: string(part()), trace: string(part())}
	n, used := binary.Uvarint(b)
	if !ok || used <= 0 || n > maxAttributes {
		return extra{}, false
	}
	b = b[used:]
	if n > 0 {
		e.attributes = make([]attribute, n)
	}
	for i := range e.attributes {
		a := &e.attributes[i]
		a.name, a.dataType, a.value = string(part()), string(part()), part()
		a.binary = isType(a.dataType, "Binary")
		a.hasText, a.hasBytes = !a.binary, a.binary
	}
	return e, ok && len(b) == 0
}
