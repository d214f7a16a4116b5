package sqstest

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// receiptMark begins every receipt handle; in base64 it is "AQEB", as with SQS.
const receiptMark = "\x01\x01\x01"

// A receipt handle carries the queue it is for, so that another queue can
// refuse it, and when the message was received, for the rule of twelve hours.
// Nothing is kept in the server: a handle survives a restart on a file.
type receipt struct {
	queue    string
	received time.Time
	engine   string // the engine's receipt
}

func (h *receipt) encode() string {
	b := make([]byte, 0, len(receiptMark)+len(h.queue)+len(h.engine)+24)
	b = append(b, receiptMark...)
	b = binary.AppendVarint(b, h.received.UnixNano())
	b = appendPart(b, h.queue)
	b = append(b, h.engine...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.StdEncoding.EncodeToString(b)
}

func decodeReceipt(handle string) (receipt, bool) {
	b, err := base64.StdEncoding.DecodeString(handle)
	if err != nil || len(b) < len(receiptMark)+crc32.Size || string(b[:len(receiptMark)]) != receiptMark {
		return receipt{}, false
	}
	b, sum := b[:len(b)-crc32.Size], b[len(b)-crc32.Size:]
	if crc32.ChecksumIEEE(b) != binary.BigEndian.Uint32(sum) {
		return receipt{}, false
	}
	b = b[len(receiptMark):]
	nanos, used := binary.Varint(b)
	if used <= 0 {
		return receipt{}, false
	}
	b = b[used:]
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return receipt{}, false
	}
	b = b[used:]
	return receipt{received: time.Unix(0, nanos), queue: string(b[:n]), engine: string(b[n:])}, true
}

// receiptFor decodes a handle, which must belong to the named queue.
func receiptFor(queue, handle string) (receipt, *apiError) {
	if handle == "" {
		return receipt{}, missing("ReceiptHandle")
	}
	h, ok := decodeReceipt(handle)
	if !ok || h.queue != queue {
		return receipt{}, fault(codeReceiptHandleIsInvalid, "The input receipt handle %q is not a valid receipt handle.", handle)
	}
	return h, nil
}
