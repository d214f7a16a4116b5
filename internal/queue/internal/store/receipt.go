package store

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// ReceiptSize is the length of a receipt in bytes: two numbers in hexadecimal, the
// message's place in its store and the number of the delivery.
const ReceiptSize = 32

// AppendReceipt appends a receipt to b.
func AppendReceipt(b []byte, place, delivery uint64) []byte {
	var raw [ReceiptSize / 2]byte
	binary.BigEndian.PutUint64(raw[:8], place)
	binary.BigEndian.PutUint64(raw[8:], delivery)
	return hex.AppendEncode(b, raw[:])
}

// ParseReceipt reads a receipt. It accepts only what AppendReceipt writes.
func ParseReceipt(s string) (place, delivery uint64, ok bool) {
	if len(s) != ReceiptSize {
		return 0, 0, false
	}
	for i := range ReceiptSize {
		var d byte
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			d = c - '0'
		case 'a' <= c && c <= 'f':
			d = c - 'a' + 10
		default:
			return 0, 0, false
		}
		if i < ReceiptSize/2 {
			place = place<<4 | uint64(d)
		} else {
			delivery = delivery<<4 | uint64(d)
		}
	}
	return place, delivery, true
}

// IDSize is the length of a message ID in bytes: a random UUID.
const IDSize = 36

// AppendID appends a new message ID to b.
func AppendID(b []byte) []byte {
	var raw [16]byte
	// IDs must be unique, not secret.
	binary.BigEndian.PutUint64(raw[:8], rand.Uint64())
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	b = append(hex.AppendEncode(b, raw[:4]), '-')
	b = append(hex.AppendEncode(b, raw[4:6]), '-')
	b = append(hex.AppendEncode(b, raw[6:8]), '-')
	b = append(hex.AppendEncode(b, raw[8:10]), '-')
	return hex.AppendEncode(b, raw[10:])
}
