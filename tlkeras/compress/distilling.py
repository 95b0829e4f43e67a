def distill(): pass
