package sqs

import "github.com/aws/aws-sdk-go-v2/service/sqs/types"

// A slab holds the small bodies of one receive: one allocation for ten. The zero
// slab and a nil one allocate each body separately.
type slab []byte

// maxSlab bounds the memory of other messages that a message keeps alive while it
// is held.
const maxSlab = 16 << 10

func newSlab(from []types.Message) *slab {
	size := 0
	for i := range from {
		if from[i].Body != nil {
			size += len(*from[i].Body)
		}
	}
	var s slab
	if size <= maxSlab {
		s = make(slab, 0, size)
	}
	return &s
}

// copy returns the bytes of body. They have no spare capacity, so that an append
// allocates rather than overwrite another body.
func (s *slab) copy(body string) []byte {
	if s == nil || cap(*s)-len(*s) < len(body) {
		return []byte(body)
	}
	begin := len(*s)
	*s = append(*s, body...)
	return (*s)[begin:len(*s):len(*s)]
}
