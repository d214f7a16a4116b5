package sqstest

import (
	"crypto/md5" // the protocol's checksum
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

func md5Of(b []byte) string {
	sum := md5.Sum(b) // the protocol's checksum
	return hex.EncodeToString(sum[:])
}

// md5OfAttributes is SQS's checksum of attributes, which are sorted by name:
// length and bytes of the name, of the type, then 1 for text or 2 for binary,
// and length and bytes of the value. It is empty if there are no attributes.
func md5OfAttributes(attributes []attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	size := 0
	for i := range attributes {
		size += attributes[i].size() + 13
	}
	b := make([]byte, 0, size)
	for i := range attributes {
		a := &attributes[i]
		b = appendSized(b, a.name)
		b = appendSized(b, a.dataType)
		if a.binary {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		b = appendSized(b, a.value)
	}
	return md5Of(b)
}

func appendSized[S string | []byte](dst []byte, s S) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s))) // no part of a message is longer than 1 MiB
	return append(dst, s...)
}

// contentID is the deduplication ID that a FIFO queue makes of a body.
func contentID(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
