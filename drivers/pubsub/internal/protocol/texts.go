package protocol

import "strings"

// blockSize is the size of a block of strings, in bytes. Strings longer than longString
// are allocated alone. Together they bound the memory of other messages that a message
// keeps alive.
const (
	blockSize  = 2 << 10
	longString = 256
)

// Texts allocates strings in blocks.
type Texts struct{ block strings.Builder }

// Copy returns text as a string. About so many strings of its length, including it, will
// be copied.
func (t *Texts) Copy(text []byte, expected int) string {
	if len(text) == 0 {
		return "" // without a pointer into the block
	}
	if len(text) > longString {
		return string(text)
	}
	if t.block.Cap()-t.block.Len() < len(text) {
		t.block = strings.Builder{}
		t.block.Grow(max(len(text), min(blockSize, len(text)*expected)))
	}
	begin := t.block.Len()
	t.block.Write(text)
	return t.block.String()[begin:]
}
