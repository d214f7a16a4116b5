package protocol

// Bodies allocates bodies in blocks, as [Texts] does strings: a short body costs an eighth of an
// allocation.
type Bodies struct{ block []byte }

// Copy returns a copy of body, nil if it is empty. About so many bodies of its length,
// including it, will be copied. Who appends to the copy changes no other.
func (b *Bodies) Copy(body []byte, expected int) []byte {
	n := len(body)
	switch {
	case n == 0:
		return nil
	case n > longString:
		return append([]byte(nil), body...)
	case len(b.block) < n:
		b.block = make([]byte, max(n, min(blockSize, n*expected)))
	}
	out := b.block[:n:n]
	b.block = b.block[n:]
	copy(out, body)
	return out
}
