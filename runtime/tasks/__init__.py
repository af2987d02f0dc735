"""What a file's heads say of an image: its class, its mask, and what the answer rests on."""
